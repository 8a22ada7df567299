/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * A recovery key in the form that people write down and type: 13 groups of 5 characters
 * (Crockford's Base32). The last character of a group is a check, so a mistake is located, not only
 * detected. No table look-up and no branch depends on the key.
 */

#define RECOVERY_KEY_GROUPS 13
#define RECOVERY_KEY_GROUP_LENGTH 5
/* With a dash between groups. */
#define RECOVERY_KEY_LENGTH (RECOVERY_KEY_GROUPS * (RECOVERY_KEY_GROUP_LENGTH + 1) - 1)

/* Writes a key of STORE_KEY_SIZE bytes. *ret_text has RECOVERY_KEY_LENGTH characters and a NUL,
 * which its size counts. Returns -EINVAL for a key of another size, -ENOMEM. */
int recovery_key_format(const Secret *key, Secret **ret_text) _must_check_;

/* Parses size bytes of text. Case does not matter, I and L are read as 1 and O as 0, and dashes and
 * white space may be anywhere. Returns -EINVAL for other characters or a wrong number of them,
 * -EBADMSG if group *reterr_group, from 1, is wrong (one changed character of a group, two swapped
 * neighbours, or two swapped groups), -ENOMEM. */
int recovery_key_parse(const char *text, size_t size, Secret **ret_key, unsigned *reterr_group)
    _must_check_;
