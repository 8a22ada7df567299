/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/x509.h>

#include "basic/limits.h"
#include "envelope/machine.h"
#include "fleet/limits.h"
#include "psk/derive.h"

/*
 * Statements of an issuer about a fleet in its place, as JSON in CMS SignedData: see docs/FLEET.md.
 * Each kind names its format, so that one is never taken for another.
 */

#define FLEET_ID_SIZE 33

/* "This machine belongs to the fleet", with the certificate to seal to. */
typedef struct FleetApproval {
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    char name[MACHINE_NAME_MAX + 1];
    char *certificate; /* PEM, owned */
    uint64_t time_usec;
} FleetApproval;

static inline void fleet_approval_done(const FleetApproval *a)
{
    free(a->certificate);
}

/* "This machine never belongs to the fleet again." */
typedef struct FleetRevocation {
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    uint64_t time_usec;
} FleetRevocation;

/* A pair, without its PSK. */
typedef struct FleetPair {
    char id[FLEET_ID_SIZE]; /* made of the NQNs, not written */
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    char host[MACHINE_FINGERPRINT_SIZE], target[MACHINE_FINGERPRINT_SIZE];
    PskHash hash;
    unsigned versions; /* bits 0 and 1: identity versions */
    PskDerivation derivation;
    uint64_t lifetime_usec; /* of each PSK; 0: none */
    uint64_t generation;    /* microseconds since 1970 */
    bool ended;             /* its machines remove it */
    /* SHA-256 of the envelope with this generation, in hexadecimal digits; empty if no machine is
     * left to seal one to. */
    char envelope[65];
} FleetPair;

/* "All pairs of an older generation are to be rotated." */
typedef struct FleetRotation {
    uint64_t started_usec;
} FleetRotation;

/* Writes the ID of a pair. Returns -EIO (OpenSSL failed). */
int fleet_pair_id(const char *hostnqn, const char *subsysnqn, char ret[static FLEET_ID_SIZE])
    _must_check_;

/* SHA-256 of a text, in hexadecimal digits. Returns -EIO. */
int fleet_digest(const char *text, char ret[static 65]) _must_check_;

/* Write JSON, to be freed. Return -ENOMEM. */
int fleet_approval_format(const FleetApproval *a, char **ret) _must_check_;
int fleet_revocation_format(const FleetRevocation *r, char **ret) _must_check_;
int fleet_pair_format(const FleetPair *p, char **ret) _must_check_;
int fleet_rotation_format(const FleetRotation *r, char **ret) _must_check_;

/* Read JSON. Return -EBADMSG for another form, -ENOMEM. */
int fleet_approval_parse(const char *text, size_t size, FleetApproval *ret) _must_check_;
int fleet_revocation_parse(const char *text, size_t size, FleetRevocation *ret) _must_check_;
int fleet_pair_parse(const char *text, size_t size, FleetPair *ret) _must_check_;
int fleet_rotation_parse(const char *text, size_t size, FleetRotation *ret) _must_check_;
