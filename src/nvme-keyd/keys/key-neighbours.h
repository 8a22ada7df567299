/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-table.h"

/* How a new key is checked against those that are stored. */
typedef struct KeyCheck {
    bool force;           /* take a rival, or a shadow, all the same */
    bool kernel_is_exact; /* the kernel compares NQNs to their ends, so no key shadows another */
} KeyCheck;

/* Returns -EEXIST (new collides with *ret, or rivals it), -ENOTUNIQ (*ret and new shadow each
 * other), with a detail; or 0. */
int key_check_neighbours(KeyTable *t, const Key *new, const KeyCheck *check, Key **ret,
                         char **reterr_detail) _must_check_;
