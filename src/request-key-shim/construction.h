/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * keyctl(2) on the key under construction that the requester waits for. The system call itself, so
 * that only the C library is loaded. All return 0 or a negative errno.
 */

/* Call this first, or the other two fail. Returns -ENOKEY unless the kernel started us for this
 * key. */
int construction_authorize(int32_t key) __attribute__((warn_unused_result));

/* Gives the key its payload. The key expires in timeout_sec, or never with 0. */
int construction_instantiate(int32_t key, const void *payload, size_t size, unsigned timeout_sec)
    __attribute__((warn_unused_result));

/* Returns error (a positive errno) to the requester, and to later ones for timeout_sec. */
int construction_reject(int32_t key, unsigned timeout_sec, unsigned error)
    __attribute__((warn_unused_result));
