/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Several strings of bytes one after the other, each after its size in four bytes (native order):
 * the form in which a process and its child exchange them. */
typedef struct Blob {
    const void *data;
    size_t size;
} Blob;

size_t blobs_size(const Blob *blobs, size_t n);
/* Writes blobs_size() bytes. */
void blobs_write(uint8_t *p, const Blob *blobs, size_t n);

/* Points blobs into data. Returns their number, or -EBADMSG for bytes of another form, or for more
 * than max blobs. */
int blobs_read(const void *data, size_t size, Blob *ret, size_t max) _must_check_;
