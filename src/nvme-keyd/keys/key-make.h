/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/* New keys, made from what was asked for. */

/* What a new key should be. Borrows its strings. */
typedef struct KeyRequest {
    const char *hostnqn; /* NULL: that of this machine, /etc/nvme/hostnqn */
    const char *subsysnqn;
    const char *comment; /* or NULL */
    KeyRole role;
    unsigned versions; /* KEY_VERSION_BIT()s, 0: what the role wants */
    PskDerivation derivation;
    PskHash hash;
    const Secret *configured; /* NULL: make one for hash */
    bool force;   /* although it shadows, or is shadowed by, another; or its NQNs seem swapped */
    bool dry_run; /* only see whether it would be taken */
} KeyRequest;

/* Reads the host NQN of this machine. Returns -ENODATA with a detail. */
int key_read_hostnqn(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail) _must_check_;

/* Makes an active key without what depends on its PSK, after all checks that need neither the PSK
 * nor another key. Returns -EINVAL, -ENODATA (no host NQN), with a detail, or -ENOMEM. */
int key_prepare(const KeyRequest *q, Key **ret, char **reterr_detail) _must_check_;

/* The same for names that have been checked. Returns -ENOMEM. */
int key_new(const KeyRequest *q, const char *hostnqn, Key **ret) _must_check_;

/* Adds what depends on the PSK, as key_derive(); without one (NULL) a random PSK is made. Returns
 * -EINVAL, -ENOMEM or -EIO, with a detail. */
int key_fill(Key *k, const Secret *configured, Secret **ret_payload, char **reterr_detail)
    _must_check_;

/* Makes a key and its payload. Without identity, request needs a host NQN and a PSK. With one, the
 * key has just that identity and its TLS PSK (request->configured), and the names, versions and
 * hash of request do not matter. Returns -EINVAL with a detail, -ENOMEM or -EIO. */
int key_make(const KeyRequest *request, const char *identity, Key **ret, Secret **ret_payload,
             char **reterr_detail) _must_check_;
