/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "basic/limits.h"
#include "nvme-keyd/upcall/protocol.h"
#include "request-key-shim/arguments.h"

/* strtoull(3) would accept signs and blanks. */
static int parse_number(const char *s, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;

    if (*s == '\0')
        return -EINVAL;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        n = n * 10 + (uint64_t)(*s - '0');
        if (n > max)
            return -ERANGE;
    }
    *ret = n;
    return 0;
}

/* The kernel prints a uid as a signed number. */
static int parse_uid(const char *s, uid_t *ret)
{
    bool negative = *s == '-';
    uint64_t n;

    if (parse_number(s + negative, negative ? (uint64_t)INT32_MAX + 1 : UINT32_MAX - 1, &n) < 0)
        return -EINVAL;
    *ret = negative ? (uid_t)-n : (uid_t)n;
    return 0;
}

static bool fits(const char *s, size_t min, size_t max)
{
    size_t n = strnlen(s, max + 1);

    return n >= min && n <= max;
}

int shim_arguments_parse(int argc, char *const *argv, ShimArguments *ret)
{
    const char *callout = argc == 6 ? argv[5] : "";
    ShimArguments a = {.uid = UID_UNKNOWN};
    uint64_t key;
    int r = -EINVAL;

    if (argc > 1 && parse_number(argv[1], INT32_MAX, &key) == 0)
        a.key = (int32_t)key;
    if (argc > 2 && parse_uid(argv[2], &a.uid) < 0)
        a.uid = UID_UNKNOWN;
    if ((argc == 5 || argc == 6) && a.key > 0 && a.uid != UID_UNKNOWN &&
        fits(argv[3], 1, UPCALL_TYPE_MAX) && fits(argv[4], 1, KEY_DESCRIPTION_MAX) &&
        fits(callout, 0, UPCALL_CALLOUT_MAX)) {
        a.type = argv[3];
        a.description = argv[4];
        a.callout = callout;
        r = 0;
    }

    *ret = a;
    return r;
}
