/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "basic/crypto-memory.h"

static void *allocate(size_t size, _unused_ const char *file, _unused_ int line)
{
    return malloc(size);
}

static void wipe_free(void *p, _unused_ const char *file, _unused_ int line)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void *reallocate(void *p, size_t size, const char *file, int line)
{
    void *new;

    if (p && size <= malloc_usable_size(p) && size > 0)
        return p;
    new = size > 0 ? malloc(size) : NULL;
    if (new &&p)
        memcpy(new, p, CONST_MIN(size, malloc_usable_size(p)));
    if (new || size == 0)
        wipe_free(p, file, line);
    return new;
}

int crypto_memory_init(void)
{
    return CRYPTO_set_mem_functions(allocate, reallocate, wipe_free) == 1 ? 0 : -EIO;
}
