/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Runs f(&variable) when the variable leaves its scope; every owner in this project carries one. */
#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define CONST_MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONST_MIN(a, b) ((a) < (b) ? (a) : (b))

#define STRINGIFY_INNER(x) #x
#define STRINGIFY(x) STRINGIFY_INNER(x)

#define CONCATENATE_INNER(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_INNER(a, b)

/* Hands the value over and disarms the cleanup of the variable it came from. */
#define TAKE(variable, empty)                                                                      \
    ({                                                                                             \
        __typeof__(variable) *taken_from_ = &(variable);                                           \
        __typeof__(variable) taken_ = *taken_from_;                                                \
        *taken_from_ = (empty);                                                                    \
        taken_;                                                                                    \
    })
#define TAKE_PTR(p) TAKE(p, NULL)
#define TAKE_FD(fd) TAKE(fd, -EBADF)

/* Defines void NAMEp(TYPE **p) for _cleanup_() from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, destructor)                                                           \
    static inline void destructor##p(type **p)                                                     \
    {                                                                                              \
        destructor(*p);                                                                            \
    }

static inline void freep(void *p)
{
    free(*(void **)p);
}

static inline void fclosep(FILE *const *f)
{
    if (*f)
        (void)fclose(*f);
}

static inline void closedirp(DIR *const *d)
{
    if (*d)
        (void)closedir(*d);
}

static inline void closep(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
