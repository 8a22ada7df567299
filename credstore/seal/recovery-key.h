/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * A recovery key as people write it down and type it again: 13 groups of 5 characters (Crockford's
 * Base32), of which the last checks the group, so that a mistake is not only found but located. No
 * table look-up and no branch depends on the key.
 */

#define RECOVERY_KEY_GROUPS 13
#define RECOVERY_KEY_GROUP_LENGTH 5
/* With a dash between each two groups. */
#define RECOVERY_KEY_LENGTH (RECOVERY_KEY_GROUPS * (RECOVERY_KEY_GROUP_LENGTH + 1) - 1)

/* Writes a key of STORE_KEY_SIZE bytes. *ret_text has RECOVERY_KEY_LENGTH characters and a NUL,
 * which its size counts. Returns -EINVAL for a key of another size, -ENOMEM. */
int recovery_key_format(const Secret *key, Secret **ret_text) _must_check_;

/* Reads size bytes of text. Case does not matter, I and L are read as 1 and O as 0, and dashes and
 * white space may be anywhere. Returns -EINVAL for another character or another number of them,
 * -EBADMSG when group *reterr_group, from 1, is wrong (any one character of a group, two neighbours
 * swapped, or two groups), -ENOMEM. */
int recovery_key_parse(const char *text, size_t size, Secret **ret_key, unsigned *reterr_group)
    _must_check_;
