/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* Makes new keys from requests. */

/* A request for a new key. Borrows its strings. */
typedef struct KeyRequest {
    const char *hostnqn; /* NULL: the one of this machine, /etc/nvme/hostnqn */
    const char *subsysnqn;
    const char *comment; /* or NULL */
    KeyRole role;
    unsigned versions; /* KEY_VERSION_BIT()s; 0: the default of the role */
    PskDerivation derivation;
    PskHash hash;
    uint64_t lifetime_usec;   /* from now on, 0: without an end */
    uint64_t rotate_usec;     /* see Key; a host has none */
    const Secret *configured; /* NULL: make a random one for hash */
    bool force;   /* even if it shadows another key or is shadowed, or its NQNs seem swapped */
    bool dry_run; /* only check */
} KeyRequest;

/* Reads the host NQN of this machine. Returns -ENODATA with a detail. */
int key_read_hostnqn(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail) _must_check_;

/* Makes an active key without the members that depend on its PSK, after all checks that need
 * neither the PSK nor other keys. Returns -EINVAL, -ENODATA (no host NQN), with a detail, or
 * -ENOMEM. */
int key_prepare(const KeyRequest *q, Key **ret, char **reterr_detail) _must_check_;

/* Returns -EINVAL with a detail for a role that has no schedule of its own. */
int key_check_schedule(KeyRole role, char **reterr_detail) _must_check_;

/* Same as key_prepare(), for names that have been checked. Returns -ENOMEM. */
int key_new(const KeyRequest *q, const char *hostnqn, Key **ret) _must_check_;

/* Adds the members that depend on the PSK, as key_derive() does; NULL makes a random PSK. Returns
 * -EINVAL, -ENOMEM or -EIO, with a detail. */
int key_fill(Key *k, const Secret *configured, Secret **ret_payload, char **reterr_detail)
    _must_check_;

/* Makes a key and its payload. Without identity, request needs a host NQN and a PSK. With identity,
 * the key has only that identity and its TLS PSK (request->configured); names, versions and hash of
 * request are not used. Returns -EINVAL with a detail, -ENOMEM or -EIO. */
int key_make(const KeyRequest *request, const char *identity, Key **ret, Secret **ret_payload,
             char **reterr_detail) _must_check_;
