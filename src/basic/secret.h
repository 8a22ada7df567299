/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basic/macro.h"

/*
 * A secret is a heap object of its own, in locked memory that neither swap nor a core file sees,
 * and is wiped when it is freed. It has a flexible array on purpose: it cannot be copied by
 * assignment.
 */
typedef struct Secret {
    size_t size;
    uint8_t data[];
} Secret;

/* Prepares the process for secrets: a locked arena of SECRET_ARENA_SIZE bytes, no core file, no
 * ptrace by the same user. To be called once, first thing in main().
 * Returns -ENOMEM or -EPERM where memory cannot be locked (RLIMIT_MEMLOCK). */
int secret_memory_init(void) _must_check_;

/* Returns a zeroed secret of size bytes, or NULL when the arena is exhausted. */
Secret *secret_new(size_t size);
Secret *secret_new_copy(const void *data, size_t size);

/* The locked memory that a secret of size bytes takes: the arena is divided into powers of two. */
size_t secret_footprint(size_t size);

/* Wipes and frees; accepts NULL; always returns NULL. */
Secret *secret_free(Secret *s);
DEFINE_CLEANUP(Secret, secret_free)

/* Fills a new secret from the CSPRNG for private values. Returns -ENOMEM or -EIO. */
int secret_random(size_t size, Secret **ret) _must_check_;

/* Compares in constant time for secrets of one size; the sizes themselves are no secret. */
bool secret_equal(const Secret *a, const Secret *b);

/* Reads fd to its end, at most max bytes. Returns -EFBIG past that, -ENODATA when there is nothing,
 * -ENOMEM, or the error of read(2). deadline_usec: CLOCK_MONOTONIC, 0 for none; -ETIMEDOUT. */
int secret_read_fd(int fd, size_t max, uint64_t deadline_usec, Secret **ret) _must_check_;

typedef struct EraseTarget {
    void *p;
    size_t n;
} EraseTarget;

static inline void erase_target(const EraseTarget *t)
{
    explicit_bzero(t->p, t->n);
}

/* Wipes a variable on every way out of its scope. Declare it before the variable is filled. */
#define CLEANUP_ERASE(variable)                                                                    \
    _cleanup_(erase_target) _unused_ const EraseTarget CONCATENATE(erase_, __COUNTER__) = {        \
        &(variable), sizeof(variable)}
