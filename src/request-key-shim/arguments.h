/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* What a rule in request-key.d passes on: %k %u %t %d %c. */
typedef struct ShimArguments {
    int32_t key;
    uid_t uid;
    const char *type;
    const char *description;
    const char *callout; /* empty where the rule passes none */
} ShimArguments;

/* Parses argv of main(). Returns 0, or -EINVAL where it is not of this form: KEY UID TYPE
 * DESCRIPTION [CALLOUT], the last three within the limits of upcall-protocol.h. When the key itself
 * could be read it is set also on failure, so that it can be rejected; else it is 0. */
int shim_arguments_parse(int argc, char *const *argv, ShimArguments *ret)
    __attribute__((warn_unused_result));
