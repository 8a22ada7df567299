/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "credstore/aead.h"
#include "credstore/seal/limits.h"

struct Sealer {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *cipher_ctx;
    EVP_MAC *mac;
    EVP_MAC_CTX *mac_ctx;
};

/* Replaces the key in an idle context. */
static const uint8_t no_key[STORE_KEY_SIZE];

Sealer *sealer_free(Sealer *s)
{
    if (!s)
        return NULL;

    EVP_MAC_CTX_free(s->mac_ctx);
    EVP_MAC_free(s->mac);
    EVP_CIPHER_CTX_free(s->cipher_ctx);
    EVP_CIPHER_free(s->cipher);
    free(s);
    return NULL;
}

/* Leaves the error queue of OpenSSL empty, since the caller only needs success or failure. */
static int fail(int error)
{
    ERR_clear_error();
    return error;
}

int sealer_new(Sealer **ret)
{
    _cleanup_(sealer_freep) Sealer *s = calloc(1, sizeof(*s));
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                           OSSL_PARAM_construct_end()};

    if (!s)
        return -ENOMEM;

    s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    s->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!s->cipher || !s->mac)
        return fail(-EOPNOTSUPP);
    s->cipher_ctx = EVP_CIPHER_CTX_new();
    s->mac_ctx = EVP_MAC_CTX_new(s->mac);
    if (!s->cipher_ctx || !s->mac_ctx)
        return fail(-ENOMEM);
    if (EVP_MAC_CTX_set_params(s->mac_ctx, params) != 1 ||
        EVP_CipherInit_ex2(s->cipher_ctx, s->cipher, no_key, no_key, 1, NULL) != 1)
        return fail(-EOPNOTSUPP);

    *ret = TAKE_PTR(s);
    return 0;
}

/* HMAC of the concatenation of a and b. */
static int hmac(Sealer *s, const uint8_t *key, const void *a, size_t a_size, const void *b,
                size_t b_size, uint8_t *ret)
{
    bool ok = EVP_MAC_init(s->mac_ctx, key, STORE_KEY_SIZE, NULL) == 1 &&
              EVP_MAC_update(s->mac_ctx, a, a_size) == 1 &&
              (b_size == 0 || EVP_MAC_update(s->mac_ctx, b, b_size) == 1) &&
              EVP_MAC_final(s->mac_ctx, ret, NULL, SEAL_MAC_SIZE) == 1;

    ok = EVP_MAC_init(s->mac_ctx, no_key, sizeof(no_key), NULL) == 1 && ok;
    return ok ? 0 : fail(-EIO);
}

int sealer_derive(Sealer *s, const Secret *key, const char *info,
                  uint8_t ret[static STORE_KEY_SIZE])
{
    /* T(1) of RFC 5869, section 2.3, which is the whole output for up to one hash. */
    static const uint8_t first = 1;

    return hmac(s, key->data, info, strlen(info), &first, sizeof(first), ret);
}

int sealer_mac(Sealer *s, const Secret *key, const char *label, const void *data, size_t size,
               uint8_t ret[static SEAL_MAC_SIZE])
{
    uint8_t mac_key[STORE_KEY_SIZE];
    CLEANUP_ERASE(mac_key);
    int r = sealer_derive(s, key, label, mac_key);

    if (r < 0)
        return r;
    return hmac(s, mac_key, data, size, NULL, 0, ret);
}

/* Encrypts (enc is 1) or decrypts (0) without handling the tag. GCM is a stream cipher, so sizes
 * are equal. */
static bool crypt_gcm(Sealer *s, int enc, const uint8_t *key, const SealedBox *box, const void *aad,
                      size_t aad_size, const uint8_t *in, uint8_t *out)
{
    int n;

    return aad_size <= INT_MAX && box->size <= INT_MAX &&
           EVP_CipherInit_ex2(s->cipher_ctx, NULL, key, box->nonce, enc, NULL) == 1 &&
           EVP_CipherUpdate(s->cipher_ctx, NULL, &n, aad, (int)aad_size) == 1 &&
           EVP_CipherUpdate(s->cipher_ctx, out, &n, in, (int)box->size) == 1;
}

static bool forget_key(Sealer *s)
{
    return EVP_CipherInit_ex2(s->cipher_ctx, NULL, no_key, no_key, 1, NULL) == 1;
}

int sealer_seal(Sealer *s, const uint8_t key[static STORE_KEY_SIZE], const void *aad,
                size_t aad_size, const Secret *plain, SealedBox **ret)
{
    _cleanup_(freep) SealedBox *box = calloc(1, sizeof(*box) + plain->size);
    uint8_t rest[EVP_MAX_BLOCK_LENGTH];
    bool ok;
    int n;

    if (!box)
        return -ENOMEM;

    box->size = plain->size;
    ok = RAND_bytes(box->nonce, sizeof(box->nonce)) == 1 &&
         crypt_gcm(s, 1, key, box, aad, aad_size, plain->data, box->ciphertext) &&
         EVP_CipherFinal_ex(s->cipher_ctx, rest, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(s->cipher_ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, box->tag) == 1;
    ok = forget_key(s) && ok;
    if (!ok)
        return fail(-EIO);

    *ret = TAKE_PTR(box);
    return 0;
}

int sealer_unseal(Sealer *s, const uint8_t key[static STORE_KEY_SIZE], const void *aad,
                  size_t aad_size, const SealedBox *box, Secret **ret)
{
    _cleanup_(secret_freep) Secret *plain = secret_new(box->size);
    uint8_t rest[EVP_MAX_BLOCK_LENGTH], tag[SEAL_TAG_SIZE];
    bool ok;
    int n;

    if (!plain)
        return -ENOMEM;

    memcpy(tag, box->tag, sizeof(tag));
    ok = crypt_gcm(s, 0, key, box, aad, aad_size, box->ciphertext, plain->data) &&
         EVP_CIPHER_CTX_ctrl(s->cipher_ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, tag) == 1 &&
         EVP_CipherFinal_ex(s->cipher_ctx, rest, &n) == 1;
    ok = forget_key(s) && ok;
    if (!ok)
        return fail(-EBADMSG);

    *ret = TAKE_PTR(plain);
    return 0;
}
