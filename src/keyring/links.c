/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>

#include "keyring/links.h"

/* The keyring may grow between two calls, so ask until the result fits. */
int links_read(int32_t keyring, int32_t **ret, size_t *ret_n)
{
    _cleanup_(freep) int32_t *serials = NULL;
    size_t capacity = 0;
    long n;

    while ((n = keyctl_read(keyring, (char *)serials, capacity)) >= 0 && (size_t)n > capacity) {
        /* Room for a few more saves the next round. */
        capacity = (size_t)n + 64 * sizeof(*serials);
        free(serials);
        serials = malloc(capacity);
        if (!serials)
            return -ENOMEM;
    }
    if (n < 0)
        return -errno;

    *ret = TAKE_PTR(serials);
    *ret_n = (size_t)n / sizeof(**ret);
    return 0;
}
