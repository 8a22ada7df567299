/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "basic/secret.h"
#include "psk/psk-error.h"

/* Hash of the transformation of a configured PSK into a retained one, by its number in the
 * interchange format; SHA-256 and SHA-384 also name the cipher suite's hash in an identity. */
typedef enum PskHash {
    PSK_HASH_NONE = 0,
    PSK_HASH_SHA256 = 1,
    PSK_HASH_SHA384 = 2,
} PskHash;

/* "none", "sha256", "sha384". */
const char *psk_hash_to_string(PskHash hash);
/* Returns -EINVAL for anything else. */
int psk_hash_from_string(const char *s, PskHash *ret) _must_check_;

/* The hash of the TLS cipher suite that a PSK of size bytes is for: its own hash where it has one,
 * else by its size (TLS_AES_128_GCM_SHA256 for 32 bytes, TLS_AES_256_GCM_SHA384 for 48). */
PskHash psk_cipher_hash(PskHash hash, size_t size);

/* Output size of a cipher suite's hash, 32 or 48. */
size_t psk_hash_size(PskHash cipher_hash);

/* Parses the PSK interchange format (NVMe/TCP Transport Specification 1.0, 3.6.1.5) of exactly
 * length characters, in constant time as to the key. Returns 0, -ENOMEM or a PskError. */
int psk_interchange_parse(const char *text, size_t length, PskHash *ret_hash,
                          Secret **ret_configured) _must_check_;

/* Whether text begins with a byte order mark, of UTF-8 or UTF-16, as some editors write it. */
bool psk_has_byte_order_mark(const char *text, size_t length);

/* Writes a configured PSK of 32 or 48 bytes as a NUL-terminated string into a new secret.
 * Returns 0, -ENOMEM or PSK_E_HASH_LENGTH. */
int psk_interchange_format(PskHash hash, const Secret *configured, Secret **ret) _must_check_;

/* Makes a random configured PSK of the size that belongs to hash (32 bytes for PSK_HASH_NONE). */
int psk_generate(PskHash hash, Secret **ret_configured) _must_check_;
