/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"

/* The well-known name of the discovery subsystem (NVMe Base Specification). */
#define NQN_DISCOVERY "nqn.2014-08.org.nvmexpress.discovery"

/* Why a name is no NQN, and where. */
typedef enum NqnFault {
    NQN_OK = 0,
    NQN_TOO_SHORT,
    NQN_TOO_LONG,
    NQN_PREFIX,
    NQN_CHARACTER,
} NqnFault;

/* Checks the first length bytes of name: an NVMe Qualified Name as an identity can carry it (NVMe
 * Base Specification 2.0, 4.5): "nqn." and more, at most 223 bytes, printable ASCII without blank
 * (it separates the parts of an identity) and without ';' (it ends a key's description for
 * keyctl(1) and tlshd). *ret_position is the offset of the character that offends. */
NqnFault nqn_check(const char *name, size_t length, size_t *ret_position);

/* True for a name that an identity can carry and the kernel takes, although it need not begin with
 * "nqn.": examples of nvme-cli and its tests have such names. At most 223 bytes of the characters
 * that nqn_check() allows. */
bool nqn_is_usable(const char *name, size_t length);

/* Checks a NUL-terminated name; on failure *reterr_text gets a line for people that names the
 * character and its place, to be freed. what: "host NQN". Returns 0, -EINVAL or -ENOMEM. */
int nqn_check_text(const char *name, const char *what, char **reterr_text) _must_check_;
