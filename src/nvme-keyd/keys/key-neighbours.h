/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-table.h"

/* Options for checking a new key against existing ones. */
typedef struct KeyCheck {
    bool force;           /* accept a rival or a shadow */
    bool kernel_is_exact; /* the kernel compares whole NQNs, so no key shadows another */
    /* Accept those for which the kernel may take another key, by their subsystem NQN: names in the
     * order of strcmp(). key_check_neighbours() has no use for them. */
    const char *const *force_for;
    size_t n_force_for;
} KeyCheck;

/* Checks a new key. Returns -EEXIST (it collides with *ret, or rivals it) or -ENOTUNIQ (it and *ret
 * shadow each other), with a detail; or 0. */
int key_check_neighbours(KeyTable *t, const Key *new, const KeyCheck *check, Key **ret,
                         char **reterr_detail) _must_check_;

/* The versions whose identity belongs to this key, as KEY_VERSION_BIT()s: while a target accepts
 * several keys of a pair, an identity of more than one, as that of version 0, belongs to one of
 * them, see key_goes_before(). */
unsigned key_own_versions(const KeyTable *t, const Key *k);
