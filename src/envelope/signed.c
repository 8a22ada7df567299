/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

/* Has functions for PEM only after pem.h. */
#include <openssl/cms.h>

#include "envelope/cms.h"
#include "envelope/limits.h"
#include "envelope/signed.h"

#define BEGIN "-----BEGIN CMS-----\n"
#define END "-----END CMS-----\n"

DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)

static void certificates_freep(STACK_OF(X509) * *s)
{
    sk_X509_free(*s);
}

static int refuse(EnvelopeRefusal refusal)
{
    ERR_clear_error();
    return (int)refusal;
}

static int openssl_failed(void)
{
    ERR_clear_error();
    return -EIO;
}

static int take_text(BIO *b, char **ret, size_t *ret_size)
{
    char *data;
    long n = BIO_get_mem_data(b, &data);

    *ret = n > 0 ? strndup(data, (size_t)n) : strdup("");
    *ret_size = n > 0 ? (size_t)n : 0;
    return *ret ? 0 : -ENOMEM;
}

static int sign(const void *data, size_t size, X509 *issuer, EVP_PKEY *key, CMS_ContentInfo **ret)
{
    const unsigned flags = CMS_BINARY | CMS_NOCERTS | CMS_NOSMIMECAP | CMS_PARTIAL | CMS_USE_KEYID;
    _cleanup_(BIO_free_allp) BIO *in = BIO_new_mem_buf(data, (int)size);
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);

    if (!in || !cms || !CMS_add1_signer(cms, issuer, key, EVP_sha256(), flags) ||
        CMS_final(cms, in, NULL, flags) != 1)
        return openssl_failed();
    *ret = TAKE_PTR(cms);
    return 0;
}

int signed_make(const void *data, size_t size, X509 *issuer, EVP_PKEY *key, BIO **ret)
{
    _cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;

    if (!out || sign(data, size, issuer, key, &cms) < 0 || i2d_CMS_bio(out, cms) != 1)
        return openssl_failed();
    *ret = TAKE_PTR(out);
    return 0;
}

/* Reads one message with nothing after it. */
static int read_message(const void *der, size_t size, CMS_ContentInfo **ret)
{
    const unsigned char *p = der;
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms =
        size <= ENVELOPE_SIZE_MAX ? d2i_CMS_ContentInfo(NULL, &p, (long)size) : NULL;

    if (!cms || p != (const unsigned char *)der + size ||
        OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
        return refuse(ENVELOPE_MALFORMED);
    *ret = TAKE_PTR(cms);
    return 0;
}

/* SHA-1 can be made to collide. */
static bool has_good_digest(CMS_SignerInfo *info)
{
    X509_ALGOR *digest = NULL;
    int nid;

    CMS_SignerInfo_get0_algs(info, NULL, NULL, &digest, NULL);
    nid = digest ? OBJ_obj2nid(digest->algorithm) : NID_undef;
    return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

/* Returns the certificate of the one signer, or NULL. */
static X509 *find_issuer(CMS_ContentInfo *cms, X509 *const *issuers, size_t n)
{
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);

    if (sk_CMS_SignerInfo_num(signers) != 1)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (CMS_SignerInfo_cert_cmp(sk_CMS_SignerInfo_value(signers, 0), issuers[i]) == 0)
            return issuers[i];
    return NULL;
}

/* The certificates of the message itself count for nothing. */
static int verify(CMS_ContentInfo *cms, X509 *const *issuers, size_t n, BIO **ret,
                  X509 **ret_issuer)
{
    const unsigned flags = CMS_BINARY | CMS_NOINTERN | CMS_NO_SIGNER_CERT_VERIFY;
    _cleanup_(certificates_freep) STACK_OF(X509) *known = sk_X509_new_null();
    _cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
    X509 *issuer = find_issuer(cms, issuers, n);

    if (!known || !out)
        return -ENOMEM;
    if (!issuer || OBJ_obj2nid(CMS_get0_eContentType(cms)) != NID_pkcs7_data)
        return refuse(ENVELOPE_ISSUER);
    if (sk_X509_push(known, issuer) <= 0)
        return -ENOMEM;
    if (!has_good_digest(sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0)) ||
        CMS_verify(cms, known, NULL, NULL, out, flags) != 1)
        return refuse(ENVELOPE_SIGNATURE);
    *ret = TAKE_PTR(out);
    *ret_issuer = issuer;
    return 0;
}

int signed_open(const void *der, size_t size, X509 *const *issuers, size_t n, BIO **ret,
                X509 **ret_issuer)
{
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
    int r = read_message(der, size, &cms);

    return r == 0 ? verify(cms, issuers, n, ret, ret_issuer) : r;
}

int statement_sign(const char *text, X509 *issuer, EVP_PKEY *key, char **ret)
{
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
    _cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
    size_t size;

    if (!out || sign(text, strlen(text), issuer, key, &cms) < 0 || PEM_write_bio_CMS(out, cms) != 1)
        return openssl_failed();
    return take_text(out, ret, &size);
}

/* One block of PEM, and nothing around it: two readers never see two statements. */
static bool is_one_block(const char *pem, size_t size)
{
    const size_t begin = strlen(BEGIN), end = strlen(END);

    return size > begin + end && memcmp(pem, BEGIN, begin) == 0 &&
           memcmp(pem + size - end, END, end) == 0 &&
           memmem(pem + begin, size - begin, "-----", 5) == pem + size - end;
}

int statement_open(const char *pem, size_t size, X509 *issuer, char **ret, size_t *ret_size)
{
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
    _cleanup_(BIO_free_allp) BIO *in = NULL, *out = NULL;
    X509 *signer;
    int r;

    if (size > ENVELOPE_SIZE_MAX || !is_one_block(pem, size))
        return refuse(ENVELOPE_MALFORMED);
    in = BIO_new_mem_buf(pem, (int)size);
    if (!in)
        return -ENOMEM;
    cms = PEM_read_bio_CMS(in, NULL, NULL, NULL);
    if (!cms || OBJ_obj2nid(CMS_get0_type(cms)) != NID_pkcs7_signed)
        return refuse(ENVELOPE_MALFORMED);
    r = verify(cms, &issuer, 1, &out, &signer);
    return r == 0 ? take_text(out, ret, ret_size) : r;
}
