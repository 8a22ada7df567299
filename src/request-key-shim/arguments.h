/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* No user has it. */
#define UID_UNKNOWN ((uid_t)-1)

/* What a rule in request-key.d passes on: %k %u %t %d %c. */
typedef struct ShimArguments {
    int32_t key;
    uid_t uid;
    const char *type;
    const char *description;
    const char *callout; /* empty where the rule passes none */
} ShimArguments;

/* Parses argv of main(). Returns 0, or -EINVAL where it is not of this form: KEY UID TYPE
 * DESCRIPTION [CALLOUT], the last three within the limits of protocol.h. Also on failure key
 * and uid are set where they could be read, so that it can be rejected; else they are 0 and
 * UID_UNKNOWN. */
int shim_arguments_parse(int argc, char *const *argv, ShimArguments *ret)
    __attribute__((warn_unused_result));
