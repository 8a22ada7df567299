/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "basic/secret.h"
#include "psk/derive.h"
#include "psk/identity.h"

/*
 * A PSK without its secrets: the metadata of its record, and its serials in the kernel. The secrets
 * stay with the source of the key.
 */

/* 16 lower-case hex digits and a NUL. */
#define KEY_ID_SIZE 17

typedef enum KeyRole {
    KEY_ROLE_HOST = 1,
    KEY_ROLE_TARGET = 2,
    KEY_ROLE_BOTH = KEY_ROLE_HOST | KEY_ROLE_TARGET,
} KeyRole;

/* pending -> active -> retiring -> gone; revoked from anywhere. key-life.h has the transitions. */
typedef enum KeyState {
    KEY_PENDING,
    KEY_ACTIVE,
    KEY_RETIRING,
    KEY_REVOKED,
    KEY_BROKEN,     /* its record cannot be trusted */
    KEY_OVERRIDDEN, /* handed in, but the store has a key that overrides it */
    KEY_GONE,       /* removed; no key of a table between two calls is in this state */
} KeyState;

/* What happens to a key at its deadline. */
typedef enum KeyStep {
    KEY_STEP_NONE,
    KEY_STEP_ACTIVATE,
    KEY_STEP_RETIRE,
    KEY_STEP_REVOKE,
    KEY_STEP_REMOVE,
} KeyStep;

/* The secret that is known. */
typedef enum KeyKind {
    KEY_CONFIGURED, /* a configured PSK, from which TLS PSKs of any version can be derived */
    KEY_DERIVED,    /* one TLS PSK of one identity, as nvme-cli keeps them */
} KeyKind;

/* Identity versions 0 and 1. */
#define KEY_VERSIONS 2
#define KEY_VERSION_BIT(v) (1u << (v))
/* The lifetime of a serial that was found, not made by us. */
#define KEY_LIFETIME_UNKNOWN UINT_MAX

typedef struct Key Key;

/* The source of the secrets of a key. */
typedef struct KeySource {
    /* Gets the payload that key_derive() or key_adopt() made. */
    int (*unseal)(const Key *k, void *userdata, Secret **ret_payload);
    void *userdata;
    bool is_persistent; /* the key has a record, so the next boot has it too */
} KeySource;

struct Key {
    char id[KEY_ID_SIZE];
    uint64_t generation;
    int error;               /* why it is broken, see StoreRecord.error */
    const KeySource *source; /* borrowed; NULL for a key that is neither stored nor handed in yet */

    char *hostnqn;
    char *subsysnqn;
    char *comment; /* or NULL */
    KeyRole role;
    KeyState state;
    KeyKind kind;
    PskHash hash;                    /* of a derived key: from its identity */
    PskDerivation derivation;        /* of a derived key: for the configured PSK that replaces it */
    unsigned versions;               /* KEY_VERSION_BIT()s of the identities to publish */
    char digest[PSK_DIGEST_MAX + 1]; /* empty if unknown: a derived key of version 0 */
    char succeeds[KEY_ID_SIZE]; /* the key that this one replaces, which may be gone; or empty */
    uint64_t created_usec;      /* CLOCK_REALTIME, like the next ones; 0 if unknown */
    uint64_t changed_usec;      /* when it entered its state */
    uint64_t confirmed_usec;    /* the first handshake that is known to have worked, or 0 */
    uint64_t expires_usec;      /* the end of its lifetime, which is only warned about, or 0 */
    uint64_t rotate_usec;       /* the age at which it is due for a rotation, 0 for none */
    bool follow;                /* a host: switch to it as soon as the target accepts it */
    bool unsynchronized;        /* its step is a span from a time of a clock that may be wrong */

    KeyStep step;                  /* none exactly if it has no deadline */
    uint64_t planned_usec;         /* when the step was set */
    uint64_t deadline_usec;        /* when the step is due, 0 for never */
    uint64_t uptime_deadline_usec; /* latest such time in CLOCK_BOOTTIME; 0 until known */
    int64_t clock_offset_usec;     /* by how much the wall clock was ahead of the uptime then */

    /* By version; NULL if not to be published. */
    char *identities[KEY_VERSIONS];
    /* Serial in the ring as of the last look, 0 if missing. */
    int32_t serials[KEY_VERSIONS];
    /* The timeout that was set for that serial, in seconds; 0 for none. */
    unsigned lifetimes[KEY_VERSIONS];
    /* The serial that had left the ring at a look, until the key is there again; or 0. */
    int32_t lost[KEY_VERSIONS];

    /* Of a handed-in key: the name of its systemd credential, and the place of its line in it. */
    char *handed_by;
    size_t handed_offset, handed_length;
    bool override_logged; /* the override has been logged */
    bool expiry_logged;   /* the end of its lifetime has been logged */
    bool due;             /* uptime_deadline_usec has passed */
    bool moved;           /* its step moved with the clock, and its record is not written yet */
    bool is_changing;     /* belongs to a transition that is not committed: manager/transition.h */

    Key *next_of_pair; /* other keys of the same host and subsystem NQN */
};

Key *key_free(Key *k);
DEFINE_CLEANUP(Key, key_free)

/* True for a key handed in for one boot, which has no record. */
static inline bool key_is_handed_in(const Key *k)
{
    return k->source && !k->source->is_persistent;
}

/* Gets the payload of a key that has a source. Returns the error of the source: for a handed-in key
 * -ESTALE if its credential has another line now, or an I/O error; for a record as store_unseal().
 */
static inline int key_unseal(const Key *k, Secret **ret_payload)
{
    return k->source->unseal(k, k->source->userdata, ret_payload);
}

/* Explains why a key is broken. */
const char *key_error_text(const Key *k);

const char *key_role_to_string(KeyRole role);
int key_role_from_string(const char *s, KeyRole *ret) _must_check_;
const char *key_state_to_string(KeyState state);
const char *key_kind_to_string(KeyKind kind);
const char *key_step_to_string(KeyStep step);

/* True if `.nvme` should have the key: a target accepts a PSK before hosts offer it and until they
 * have stopped; a host offers exactly the active one. */
bool key_is_publishable(const Key *k, uint64_t now_realtime_usec);

/* The lifetime of a key in `.nvme`, in seconds, 0 for ever, if on-demand keys have on_demand_sec.
 * Only hosts ask: a target searches for an identity and gives up. */
unsigned key_lifetime(const Key *k, unsigned on_demand_sec);

/* The kernel searches a host's PSK by version, then by hash, and takes the greatest that it finds
 * (nvme_tls_psk_default() in drivers/nvme/common/keyring.c). These bits are in that order. */
#define KEY_RANK_BIT(version, hash) (1u << (2 * (version) + ((hash) == PSK_HASH_SHA384)))
#define KEY_RANKS_OF_VERSION(version) (3u << (2 * (version)))

/* The KEY_RANK_BIT()s under which the kernel finds the key; those of both hashes while that of a
 * PSK without a hash of its own is not known. */
unsigned key_search_ranks(const Key *k);

/* When the lifetime of a key ends, in CLOCK_REALTIME: its own, or max_age_usec after it was made
 * (UINT64_MAX: never). 0: it has no end. */
uint64_t key_expiry(const Key *k, uint64_t max_age_usec);

/* True if the key should be in the ring, but was not at the last look. */
bool key_is_missing(const Key *k, unsigned on_demand_sec);

/* Reads and writes the metadata of a record, in the one form that docs/CREDSTORE.md gives them.
 * Reading returns -EBADMSG for any other form or a value that makes no sense, or -ENOMEM. The text
 * has to be freed; NULL without memory. */
int key_from_meta(const char *text, size_t size, Key **ret) _must_check_;
char *key_to_meta(const Key *k) _must_check_;

/* Makes the identities of a key whose other members are set. Returns -ENOMEM. */
int key_set_identities(Key *k) _must_check_;

/* Sets digest and identities of a key whose other members are set, and makes the payload to be
 * sealed: the configured PSK and a TLS PSK of each version, so that publishing derives nothing.
 * Returns 0, PSK_E_IDENTITY_LENGTH, -ENOMEM or -EIO. */
int key_derive(Key *k, const Secret *configured, Secret **ret_payload) _must_check_;

/* Same, for a key of one identity, read by psk_identity_parse_key(), whose names, hash and version
 * k has. There is no configured PSK, and the identity is published as it is. Returns 0 or -ENOMEM.
 */
int key_adopt(Key *k, const PskIdentity *identity, const Secret *tls_psk, Secret **ret_payload)
    _must_check_;

/* Points into payload at the TLS PSK of a version. Returns -EBADMSG, -ENOENT. */
int key_payload_tls_psk(const Secret *payload, unsigned version, const uint8_t **ret,
                        size_t *ret_size) _must_check_;
/* Same, for the configured PSK; -ENOENT for a derived key. */
int key_payload_configured(const Secret *payload, const uint8_t **ret, size_t *ret_size)
    _must_check_;
