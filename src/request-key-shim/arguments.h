/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define UID_UNKNOWN ((uid_t)-1)

/* The arguments of a rule in request-key.d: %k %u %t %d %c. */
typedef struct ShimArguments {
    int32_t key;
    uid_t uid;
    const char *type;
    const char *description;
    const char *callout; /* empty where the rule passes none */
} ShimArguments;

/* Parses argv of main(): KEY UID TYPE DESCRIPTION [CALLOUT], the last three within the limits of
 * protocol.h. Returns -EINVAL for anything else; *ret then still has key and uid, so that the key
 * can be rejected, or 0 and UID_UNKNOWN if they are invalid. */
int shim_arguments_parse(int argc, char *const *argv, ShimArguments *ret)
    __attribute__((warn_unused_result));
