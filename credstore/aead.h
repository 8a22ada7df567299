/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/limits.h"

/*
 * AES-256-GCM, HMAC-SHA-256 and HKDF-Expand (RFC 5869) on OpenSSL. Algorithms are fetched once and
 * contexts reused, so one seal or unseal costs a few microseconds. Contexts hold no key between two
 * calls.
 */

#define SEAL_NONCE_SIZE 12
#define SEAL_TAG_SIZE 16
#define SEAL_MAC_SIZE 32

typedef struct Sealer Sealer;

/* Returns -ENOMEM, or -EOPNOTSUPP if OpenSSL lacks an algorithm. */
int sealer_new(Sealer **ret) _must_check_;
/* Accepts NULL; returns NULL. */
Sealer *sealer_free(Sealer *s);
DEFINE_CLEANUP(Sealer, sealer_free)

/* Derives a key from a key of STORE_KEY_SIZE by HKDF-Expand; the caller wipes it. Returns -EIO. */
int sealer_derive(Sealer *s, const Secret *key, const char *info,
                  uint8_t ret[static STORE_KEY_SIZE]) _must_check_;

/* Computes the HMAC-SHA-256 of data with the key that label derives from key. Returns -EIO. */
int sealer_mac(Sealer *s, const Secret *key, const char *label, const void *data, size_t size,
               uint8_t ret[static SEAL_MAC_SIZE]) _must_check_;

/* A text sealed by AES-256-GCM, to be freed by free(). */
typedef struct SealedBox {
    uint8_t nonce[SEAL_NONCE_SIZE];
    uint8_t tag[SEAL_TAG_SIZE];
    size_t size;
    uint8_t ciphertext[];
} SealedBox;

/* Seals plain under a random nonce and binds it to aad. Returns -ENOMEM or -EIO. */
int sealer_seal(Sealer *s, const uint8_t key[static STORE_KEY_SIZE], const void *aad,
                size_t aad_size, const Secret *plain, SealedBox **ret) _must_check_;

/* Returns -EBADMSG if box is not authentic, -ENOMEM. */
int sealer_unseal(Sealer *s, const uint8_t key[static STORE_KEY_SIZE], const void *aad,
                  size_t aad_size, const SealedBox *box, Secret **ret) _must_check_;
