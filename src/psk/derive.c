/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "basic/encoding.h"
#include "psk/derive.h"
#include "psk/identity.h"
#include "psk/limits.h"

#define CONTEXT_MAX PSK_IDENTITY_0_MAX
#define LABEL_HOSTNQN "tls13 HostNQN"
#define LABEL_TLS_PSK "tls13 nvme-tls-psk"

static inline void kdf_freep(EVP_KDF **k)
{
    EVP_KDF_free(*k);
}

static inline void kdf_ctx_freep(EVP_KDF_CTX **c)
{
    EVP_KDF_CTX_free(*c);
}

static const char *const derivation_names[PSK_DERIVATIONS] = {"rfc8446", "compat", "lastfrag"};

const char *psk_derivation_to_string(PskDerivation derivation)
{
    return derivation_names[derivation];
}

int psk_derivation_from_string(const char *s, PskDerivation *ret)
{
    for (PskDerivation d = PSK_RFC8446; d < PSK_DERIVATIONS; d++)
        if (strcmp(s, derivation_names[d]) == 0) {
            *ret = d;
            return 0;
        }
    return -EINVAL;
}

static const char *digest_name(PskHash cipher_hash)
{
    return cipher_hash == PSK_HASH_SHA384 ? "SHA384" : "SHA256";
}

/* HKDF-Extract with an empty salt, then HKDF-Expand (RFC 5869) of ret->size bytes. */
static int hkdf(PskHash cipher_hash, const Secret *ikm, const uint8_t *info, size_t info_size,
                Secret *ret)
{
    _cleanup_(kdf_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    _cleanup_(kdf_ctx_freep) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    /* OSSL_PARAM has no const, but input parameters are only read. */
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         (char *)(uintptr_t)digest_name(cipher_hash), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)ikm->data,
                                          ikm->size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_size),
        OSSL_PARAM_construct_end(),
    };

    if (!ctx || EVP_KDF_derive(ctx, ret->data, ret->size, params) != 1)
        return -EIO;
    return 0;
}

/* The context of HKDF-Expand-Label. libnvme passed it to OpenSSL in parts; last is the last one. */
typedef struct Context {
    const char *text, *last;
} Context;

/* Makes the info for an output of size bytes, below 256. Returns its size. */
static size_t make_info(PskDerivation derivation, const char *label, const Context *context,
                        size_t size, uint8_t *ret)
{
    bool rfc = derivation == PSK_RFC8446;
    uint8_t *p = ret;

    if (derivation == PSK_LASTFRAG) {
        p = (uint8_t *)mempcpy(p, context->last, strlen(context->last));
        return (size_t)(p - ret);
    }
    *p++ = rfc ? 0 : (uint8_t)size;
    *p++ = rfc ? (uint8_t)size : 0;
    if (rfc)
        *p++ = (uint8_t)strlen(label);
    p = (uint8_t *)mempcpy(p, label, strlen(label));
    if (rfc)
        *p++ = (uint8_t)strlen(context->text);
    p = (uint8_t *)mempcpy(p, context->text, strlen(context->text));
    return (size_t)(p - ret);
}

/* HKDF-Expand-Label of size bytes. Returns PSK_E_IDENTITY_LENGTH for a long context. */
static int expand_label(const PskSource *s, PskHash cipher_hash, const Secret *ikm,
                        const char *label, const Context *context, size_t size, Secret **ret)
{
    uint8_t info[2 + 1 + sizeof(LABEL_TLS_PSK) + 1 + CONTEXT_MAX];
    _cleanup_(secret_freep) Secret *out = NULL;
    size_t info_size;
    int r;

    if (strlen(context->text) > CONTEXT_MAX)
        return PSK_E_IDENTITY_LENGTH;
    out = secret_new(size);
    if (!out)
        return -ENOMEM;
    info_size = make_info(s->derivation, label, context, size, info);
    r = hkdf(cipher_hash, ikm, info, info_size, out);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(out);
    return 0;
}

static int derive_retained(const PskSource *s, PskHash cipher_hash, Secret **ret)
{
    const Context context = {s->hostnqn, s->hostnqn};

    if (s->hash == PSK_HASH_NONE) {
        *ret = secret_new_copy(s->configured->data, s->configured->size);
        return *ret ? 0 : -ENOMEM;
    }
    return expand_label(s, cipher_hash, s->configured, LABEL_HOSTNQN, &context, s->configured->size,
                        ret);
}

/* Base64(HMAC(retained PSK, "HOSTNQN SUBSYSNQN NVMe-over-Fabrics")). */
static int digest_of_retained(const PskSource *s, PskHash cipher_hash, const Secret *retained,
                              char ret[static PSK_DIGEST_MAX + 1])
{
    char text[2 * (NQN_LENGTH_MAX + 1) + sizeof("NVMe-over-Fabrics")];
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t size;
    int n;

    n = snprintf(text, sizeof(text), "%s %s NVMe-over-Fabrics", s->hostnqn, s->subsysnqn);
    if (n < 0 || (size_t)n >= sizeof(text))
        return -EINVAL;
    if (!EVP_Q_mac(NULL, "HMAC", NULL, digest_name(cipher_hash), NULL, retained->data,
                   retained->size, (const unsigned char *)text, (size_t)n, mac, sizeof(mac), &size))
        return -EIO;

    base64_encode(mac, size, ret);
    return 0;
}

int psk_digest(const PskSource *source, char ret[static PSK_DIGEST_MAX + 1])
{
    PskHash cipher_hash = psk_cipher_hash(source->hash, source->configured->size);
    _cleanup_(secret_freep) Secret *retained = NULL;
    int r = derive_retained(source, cipher_hash, &retained);

    return r != 0 ? r : digest_of_retained(source, cipher_hash, retained, ret);
}

int psk_derive(const PskSource *source, unsigned version, TlsPsk *ret)
{
    PskHash cipher_hash = psk_cipher_hash(source->hash, source->configured->size);
    _cleanup_(secret_freep) Secret *retained = NULL, *key = NULL;
    char identity[PSK_IDENTITY_MAX + 1], digest[PSK_DIGEST_MAX + 1];
    char text[sizeof("02 ") + PSK_DIGEST_MAX];
    const Context contexts[] = {{identity, identity}, {text, digest}};
    int r;

    r = derive_retained(source, cipher_hash, &retained);
    if (r != 0)
        return r;
    r = digest_of_retained(source, cipher_hash, retained, digest);
    if (r != 0)
        return r;

    psk_identity_format(version, cipher_hash, source->hostnqn, source->subsysnqn,
                        version == 1 ? digest : NULL, identity);
    (void)snprintf(text, sizeof(text), "%02u %s", (unsigned)cipher_hash, digest);
    r = expand_label(source, cipher_hash, retained, LABEL_TLS_PSK, &contexts[version],
                     psk_hash_size(cipher_hash), &key);
    if (r != 0)
        return r;

    memcpy(ret->identity, identity, sizeof(identity));
    ret->key = TAKE_PTR(key);
    return 0;
}
