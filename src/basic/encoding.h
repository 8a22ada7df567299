/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * Base64 (RFC 4648 section 4, with padding), hex and CRC-32 for secrets: no table look-up and no
 * branch depends on the data, so neither timing nor the cache shows a key.
 */

/* Characters that Base64 of n bytes has, without a terminator. */
#define BASE64_LENGTH(n) ((((n) + 2) / 3) * 4)

/* Writes BASE64_LENGTH(size) characters and a NUL. */
void base64_encode(const uint8_t *data, size_t size, char *ret);

/* Decodes exactly length characters into at most capacity bytes.
 * Returns -EINVAL for a wrong length, character, padding or set bits after the last byte, -ENOBUFS
 * when the result does not fit. On failure ret may hold a part: it belongs into a wiped buffer. */
int base64_decode(const char *text, size_t length, uint8_t *ret, size_t capacity, size_t *ret_size)
    _must_check_;

/* Writes 2 * size lower-case digits and a NUL. */
void hex_encode(const uint8_t *data, size_t size, char *ret);

/* CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320), as zlib's crc32(). */
uint32_t crc32_ieee(const uint8_t *data, size_t size);
