/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/secret.h"

/* OpenSSL's arena has no smaller blocks. */
#define BLOCK_MIN ((size_t)32)

int secret_memory_init(void)
{
    static const struct rlimit no_core = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
        return -errno;
#ifdef M_PERTURB
    /* A second line after our own wiping: glibc overwrites memory that libraries free, except for
     * blocks of up to 1032 bytes, which its thread cache takes unchanged. */
    mallopt(M_PERTURB, 0xff);
#endif
    /* 1: locked and guarded; 2: mapped, but mlock() or madvise() failed; 0: no memory. */
    switch (CRYPTO_secure_malloc_init(SECRET_ARENA_SIZE, BLOCK_MIN)) {
    case 1:
        return 0;
    case 2:
        return -EPERM;
    default:
        return CRYPTO_secure_malloc_initialized() ? 0 : -ENOMEM;
    }
}

Secret *secret_new(size_t size)
{
    Secret *s = size < SECRET_ARENA_SIZE ? OPENSSL_secure_zalloc(sizeof(*s) + size) : NULL;

    if (s)
        s->size = size;
    return s;
}

size_t secret_footprint(size_t size)
{
    size_t block = BLOCK_MIN;

    while (block < SECRET_ARENA_SIZE && block - sizeof(Secret) < size)
        block *= 2;
    return block;
}

Secret *secret_new_copy(const void *data, size_t size)
{
    Secret *s = secret_new(size);

    if (s)
        memcpy(s->data, data, size);
    return s;
}

Secret *secret_free(Secret *s)
{
    if (s)
        OPENSSL_secure_clear_free(s, sizeof(*s) + s->size);
    return NULL;
}

int secret_random(size_t size, Secret **ret)
{
    _cleanup_(secret_freep) Secret *s = secret_new(size);

    if (!s)
        return -ENOMEM;
    if (RAND_priv_bytes(s->data, (int)size) != 1)
        return -EIO;

    *ret = TAKE_PTR(s);
    return 0;
}

bool secret_equal(const Secret *a, const Secret *b)
{
    return a->size == b->size && CRYPTO_memcmp(a->data, b->data, a->size) == 0;
}

int secret_read_fd(int fd, size_t max, uint64_t deadline_usec, Secret **ret)
{
    /* One byte more than allowed distinguishes "full" from "too long" without a second read. */
    _cleanup_(secret_freep) Secret *buffer = secret_new(max + 1);
    size_t have = 0;

    if (!buffer)
        return -ENOMEM;

    while (have <= max) {
        ssize_t n;
        int r = io_wait(fd, POLLIN, deadline_usec);

        if (r < 0)
            return r;
        n = read(fd, buffer->data + have, max + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    if (have > max)
        return -EFBIG;
    if (have == 0)
        return -ENODATA;

    Secret *s = secret_new_copy(buffer->data, have);
    if (!s)
        return -ENOMEM;
    *ret = s;
    return 0;
}
