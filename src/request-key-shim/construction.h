/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The key that the kernel has under construction, and that its requester waits for: keyctl(2), by
 * the system call itself, so that nothing but the C library has to be loaded. All return 0 or a
 * negative errno.
 */

/* To be called first: only then may we touch the key. Returns -ENOKEY where no request for it is
 * under way, or not one that we were started for. */
int construction_authorize(int32_t key) __attribute__((warn_unused_result));

/* Gives the key its payload. It lives for timeout_sec, 0: for ever. */
int construction_instantiate(int32_t key, const void *payload, size_t size, unsigned timeout_sec)
    __attribute__((warn_unused_result));

/* The requester gets error (a positive errno), and so does who asks within timeout_sec. */
int construction_reject(int32_t key, unsigned timeout_sec, unsigned error)
    __attribute__((warn_unused_result));
