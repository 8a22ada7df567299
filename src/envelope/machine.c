/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "basic/encoding.h"
#include "envelope/limits.h"
#include "envelope/machine.h"

#define CURVE "P-256"
#define CURVE_GROUP "prime256v1"
/* RFC 5280 section 4.1.2.2: at most 20 octets, and positive. */
#define SERIAL_BYTES 16
/* The key is trusted by its fingerprint, not for a time, so the certificate does not end. RFC 5280
 * section 4.1.2.5. */
#define NO_END "99991231235959Z"

DEFINE_CLEANUP(BIO, BIO_free_all)
DEFINE_CLEANUP(X509_EXTENSION, X509_EXTENSION_free)
DEFINE_CLEANUP(X509_REQ, X509_REQ_free)
DEFINE_CLEANUP(BIGNUM, BN_free)
DEFINE_CLEANUP(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free)

/* The errors of OpenSSL say nothing to people here, and must not stay for a later call. */
static int openssl_failed(void)
{
    ERR_clear_error();
    return -EIO;
}

int machine_key_new(EVP_PKEY **ret)
{
    *ret = EVP_EC_gen(CURVE);
    return *ret ? 0 : openssl_failed();
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32];

    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                          NULL) == 1 &&
           strcmp(group, CURVE_GROUP) == 0;
}

int machine_key_to_der(EVP_PKEY *key, Secret **ret)
{
    _cleanup_(secret_freep) Secret *der = NULL;
    unsigned char *p;
    int n = i2d_PrivateKey(key, NULL);

    if (n <= 0)
        return openssl_failed();
    der = secret_new((size_t)n);
    if (!der)
        return -ENOMEM;
    p = der->data;
    if (i2d_PrivateKey(key, &p) != n)
        return openssl_failed();
    *ret = TAKE_PTR(der);
    return 0;
}

int machine_key_from_der(const Secret *der, EVP_PKEY **ret)
{
    const unsigned char *p = der->data;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key =
        d2i_PrivateKey(EVP_PKEY_EC, NULL, &p, (long)der->size);

    ERR_clear_error();
    if (!key || p != der->data + der->size || !is_p256(key))
        return -EBADMSG;
    *ret = TAKE_PTR(key);
    return 0;
}

static int digest_public_key(EVP_PKEY *key, unsigned char ret[static EVP_MAX_MD_SIZE])
{
    unsigned char *der = NULL;
    unsigned size = 0;
    int n = i2d_PUBKEY(key, &der), r;

    if (n <= 0)
        return openssl_failed();
    r = EVP_Digest(der, (size_t)n, ret, &size, EVP_sha256(), NULL);
    OPENSSL_free(der);
    return r == 1 && size == (MACHINE_FINGERPRINT_SIZE - 1) / 2 ? 0 : openssl_failed();
}

int machine_fingerprint(EVP_PKEY *key, char ret[static MACHINE_FINGERPRINT_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    int r = digest_public_key(key, digest);

    if (r == 0)
        hex_encode(digest, (MACHINE_FINGERPRINT_SIZE - 1) / 2, ret);
    return r;
}

static int set_serial(X509 *c)
{
    _cleanup_(BN_freep) BIGNUM *n = BN_new();

    return n && BN_rand(n, SERIAL_BYTES * 8 - 1, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                   BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c))
               ? 0
               : -EIO;
}

/* The fingerprint is the name, so two keys never have the same subject. */
static int set_subject(X509_NAME *subject, EVP_PKEY *key)
{
    char fingerprint[MACHINE_FINGERPRINT_SIZE];
    int r = machine_fingerprint(key, fingerprint);

    if (r < 0)
        return r;
    return X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                      (const unsigned char *)"nvme-keyd", -1, -1, 0) == 1 &&
                   X509_NAME_add_entry_by_NID(subject, NID_serialNumber, MBSTRING_ASC,
                                              (const unsigned char *)fingerprint, -1, -1, 0) == 1
               ? 0
               : -EIO;
}

/* The name is data, which the configuration syntax of OpenSSL would parse. */
static X509_EXTENSION *make_san(const char *name)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *entry = GENERAL_NAME_new();
    ASN1_IA5STRING *uri = ASN1_IA5STRING_new();
    X509_EXTENSION *ret = NULL;

    if (names && entry && uri && ASN1_STRING_set(uri, name, -1) == 1) {
        GENERAL_NAME_set0_value(entry, GEN_URI, uri);
        uri = NULL;
        if (sk_GENERAL_NAME_push(names, entry) > 0) {
            entry = NULL;
            ret = X509V3_EXT_i2d(NID_subject_alt_name, 0, names);
        }
    }
    ASN1_IA5STRING_free(uri);
    GENERAL_NAME_free(entry);
    GENERAL_NAMES_free(names);
    return ret;
}

static int add_extension(X509 *c, int nid, const char *value)
{
    _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *e = NULL;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, c, c, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    return e && X509_add_ext(c, e, -1) == 1 ? 0 : -EIO;
}

/* The beginning of the fingerprint: RFC 7093 section 2, method 4, with 160 bits as RFC 5280 has
 * them. */
static int add_key_id(X509 *c)
{
    _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    unsigned char digest[EVP_MAX_MD_SIZE];

    return id && digest_public_key(X509_get0_pubkey(c), digest) == 0 &&
                   ASN1_OCTET_STRING_set(id, digest, (MACHINE_KEY_ID_SIZE - 1) / 2) == 1 &&
                   X509_add1_ext_i2d(c, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1
               ? 0
               : -EIO;
}

static int add_extensions(X509 *c, const char *name, bool is_issuer)
{
    _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *san = name ? make_san(name) : NULL;

    if (name && (!san || X509_add_ext(c, san, -1) != 1))
        return -EIO;
    return add_extension(c, NID_basic_constraints, "critical,CA:FALSE") |
           add_extension(c, NID_key_usage,
                         is_issuer ? "critical,digitalSignature"
                                   : "critical,keyAgreement,digitalSignature") |
           add_key_id(c);
}

int machine_certificate(EVP_PKEY *key, const char *name, bool is_issuer, X509 **ret)
{
    _cleanup_(X509_freep) X509 *c = X509_new();

    if (!c || X509_set_version(c, X509_VERSION_3) != 1 || set_serial(c) < 0 ||
        set_subject(X509_get_subject_name(c), key) < 0 ||
        X509_set_issuer_name(c, X509_get_subject_name(c)) != 1 ||
        /* A machine whose clock is behind would have made a certificate that begins later. */
        ASN1_TIME_set_string(X509_getm_notBefore(c), "20200101000000Z") != 1 ||
        ASN1_TIME_set_string(X509_getm_notAfter(c), NO_END) != 1 || X509_set_pubkey(c, key) != 1 ||
        add_extensions(c, name, is_issuer) < 0 || X509_sign(c, key, EVP_sha256()) <= 0)
        return openssl_failed();
    *ret = TAKE_PTR(c);
    return 0;
}

/* Takes the text out of b. */
static int take_text(BIO *b, char **ret)
{
    char *data;
    long n = BIO_get_mem_data(b, &data);

    *ret = n > 0 ? strndup(data, (size_t)n) : NULL;
    return *ret ? 0 : -ENOMEM;
}

static void extensions_freep(STACK_OF(X509_EXTENSION) * *s)
{
    sk_X509_EXTENSION_pop_free(*s, X509_EXTENSION_free);
}

static int request_name(X509_REQ *q, const char *name)
{
    _cleanup_(extensions_freep) STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *san = make_san(name);

    if (!list || !san || sk_X509_EXTENSION_push(list, san) <= 0)
        return -EIO;
    san = NULL;
    return X509_REQ_add_extensions(q, list) == 1 ? 0 : -EIO;
}

int machine_request(EVP_PKEY *key, const char *name, char **ret)
{
    _cleanup_(X509_REQ_freep) X509_REQ *q = X509_REQ_new();
    _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_mem());

    if (!q || !b || X509_REQ_set_version(q, X509_REQ_VERSION_1) != 1 ||
        set_subject(X509_REQ_get_subject_name(q), key) < 0 || X509_REQ_set_pubkey(q, key) != 1 ||
        (name && request_name(q, name) < 0) || X509_REQ_sign(q, key, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(b, q) != 1)
        return openssl_failed();
    return take_text(b, ret);
}

int machine_certificate_to_pem(X509 *certificate, char **ret)
{
    _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_mem());

    if (!b || PEM_write_bio_X509(b, certificate) != 1)
        return openssl_failed();
    return take_text(b, ret);
}

int machine_certificate_from_pem(const char *pem, size_t size, X509 **ret)
{
    _cleanup_(X509_freep) X509 *c = NULL;
    _cleanup_(BIO_free_allp) BIO *b = NULL;

    if (size == 0 || size > MACHINE_PEM_MAX)
        return -EBADMSG;
    b = BIO_new_mem_buf(pem, (int)size);
    if (!b)
        return -ENOMEM;
    c = PEM_read_bio_X509(b, NULL, NULL, NULL);
    if (!c || !X509_get0_pubkey(c) || !is_p256(X509_get0_pubkey(c))) {
        ERR_clear_error();
        return -EBADMSG;
    }
    *ret = TAKE_PTR(c);
    return 0;
}
