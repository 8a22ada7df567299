/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

/* Has functions for PEM only after pem.h. */
#include <openssl/cms.h>

#include "basic/encoding.h"
#include "envelope/cms.h"
#include "envelope/limits.h"
#include "envelope/signed.h"

DEFINE_CLEANUP(CMS_ContentInfo, CMS_ContentInfo_free)

static int openssl_failed(void)
{
    ERR_clear_error();
    return -EIO;
}

static int refuse(EnvelopeRefusal refusal)
{
    ERR_clear_error();
    return (int)refusal;
}

const char *envelope_refusal_text(int refusal)
{
    switch (refusal) {
    case ENVELOPE_MALFORMED:
        return "not an envelope, or a damaged one";
    case ENVELOPE_NOT_FOR_US:
        return "sealed to other machines";
    case ENVELOPE_ISSUER:
        return "signed by no issuer that this machine trusts";
    case ENVELOPE_SIGNATURE:
        return "the signature is wrong";
    case ENVELOPE_OTHER_PAIRS:
        return "no pair in it is one of this machine";
    case ENVELOPE_NOT_YET:
        return "its time has not come yet";
    case ENVELOPE_EXPIRED:
        return "its time is over";
    case ENVELOPE_REPLAYED:
        return "it was taken before, or one that was made later";
    default:
        return "refused";
    }
}

/* Takes the bytes out of b. */
static int take_bytes(BIO *b, Secret **ret)
{
    char *data;
    long n = BIO_get_mem_data(b, &data);

    if (n <= 0)
        return -EIO;
    *ret = secret_new_copy(data, (size_t)n);
    return *ret ? 0 : -ENOMEM;
}

static int take_text(BIO *b, char **ret)
{
    char *data;
    long n = BIO_get_mem_data(b, &data);

    *ret = n > 0 ? strndup(data, (size_t)n) : NULL;
    return *ret ? 0 : -ENOMEM;
}

/* The default key derivation is by SHA-1. */
static int add_recipient(CMS_ContentInfo *cms, X509 *certificate)
{
    CMS_RecipientInfo *info =
        CMS_add1_recipient_cert(cms, certificate, CMS_USE_KEYID | CMS_KEY_PARAM);
    EVP_PKEY_CTX *ctx = info ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;

    return ctx && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1 ? 0 : -EIO;
}

int envelope_seal(const Secret *content, X509 *issuer, EVP_PKEY *issuer_key,
                  X509 *const *recipients, size_t n, char **ret)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL;
    _cleanup_(BIO_free_allp) BIO *inner = NULL;
    _cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms =
        CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
    int r;

    if (n == 0 || n > ENVELOPE_RECIPIENTS_MAX || content->size > ENVELOPE_CONTENT_MAX)
        return -EINVAL;
    /* Otherwise the message would have no content. */
    if (!out || !cms || CMS_set_detached(cms, 0) != 1)
        return openssl_failed();
    r = signed_make(content->data, content->size, issuer, issuer_key, &inner);
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_recipient(cms, recipients[i]);
    if (r < 0)
        return openssl_failed();
    if (CMS_final(cms, inner, NULL, flags) != 1 || PEM_write_bio_CMS(out, cms) != 1)
        return openssl_failed();
    return take_text(out, ret);
}

/* Reads one message with nothing after it. */
static int read_message(const void *der, size_t size, CMS_ContentInfo **ret)
{
    const unsigned char *p = der;
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms =
        size <= ENVELOPE_SIZE_MAX ? d2i_CMS_ContentInfo(NULL, &p, (long)size) : NULL;

    if (!cms || p != (const unsigned char *)der + size ||
        OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData)
        return refuse(ENVELOPE_MALFORMED);
    *ret = TAKE_PTR(cms);
    return 0;
}

/* Reads an envelope in PEM or DER. */
static int read_envelope(const void *data, size_t size, CMS_ContentInfo **ret)
{
    static const char begin[] = "-----BEGIN ";
    _cleanup_(BIO_free_allp) BIO *in = NULL;
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;

    if (size > ENVELOPE_SIZE_MAX)
        return refuse(ENVELOPE_MALFORMED);
    if (size < strlen(begin) || memcmp(data, begin, strlen(begin)) != 0)
        return read_message(data, size, ret);
    in = BIO_new_mem_buf(data, (int)size);
    if (!in)
        return -ENOMEM;
    cms = PEM_read_bio_CMS(in, NULL, NULL, NULL);
    if (!cms || OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData)
        return refuse(ENVELOPE_MALFORMED);
    *ret = TAKE_PTR(cms);
    return 0;
}

/* Recipients of other kinds than ours have no key identifier. */
static void format_key_id(CMS_RecipientInfo *info, char ret[static MACHINE_KEY_ID_SIZE])
{
    STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_type(info) == CMS_RECIPINFO_AGREE
                                                    ? CMS_RecipientInfo_kari_get0_reks(info)
                                                    : NULL;
    ASN1_OCTET_STRING *id = NULL;

    ret[0] = '\0';
    if (sk_CMS_RecipientEncryptedKey_num(keys) == 1 &&
        CMS_RecipientEncryptedKey_get0_id(sk_CMS_RecipientEncryptedKey_value(keys, 0), &id, NULL,
                                          NULL, NULL, NULL) == 1 &&
        id && ASN1_STRING_length(id) == (MACHINE_KEY_ID_SIZE - 1) / 2)
        hex_encode(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id), ret);
}

int envelope_recipients(const void *data, size_t size, char (*ret)[MACHINE_KEY_ID_SIZE], size_t max)
{
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
    STACK_OF(CMS_RecipientInfo) * infos;
    int n;

    if (read_envelope(data, size, &cms) != 0)
        return -EBADMSG;
    infos = CMS_get0_RecipientInfos(cms);
    n = sk_CMS_RecipientInfo_num(infos);
    for (int i = 0; i < n && (size_t)i < max; i++)
        format_key_id(sk_CMS_RecipientInfo_value(infos, i), ret[i]);
    return n < 0 ? -EBADMSG : n;
}

static int decrypt(const void *data, size_t size, EVP_PKEY *machine, BIO **ret)
{
    _cleanup_(CMS_ContentInfo_freep) CMS_ContentInfo *cms = NULL;
    _cleanup_(BIO_free_allp) BIO *out = BIO_new(BIO_s_mem());
    int r;

    if (!out)
        return -ENOMEM;
    r = read_envelope(data, size, &cms);
    if (r != 0)
        return r;
    /* Without a certificate each recipient is tried. */
    if (CMS_decrypt_set1_pkey(cms, machine, NULL) != 1)
        return refuse(ENVELOPE_NOT_FOR_US);
    if (CMS_decrypt(cms, NULL, NULL, NULL, out, CMS_BINARY) != 1)
        return refuse(ENVELOPE_MALFORMED);
    *ret = TAKE_PTR(out);
    return 0;
}

int envelope_open(const void *data, size_t size, EVP_PKEY *machine, X509 *const *issuers, size_t n,
                  Secret **ret, char ret_issuer[static MACHINE_FINGERPRINT_SIZE])
{
    _cleanup_(BIO_free_allp) BIO *inner = NULL, *content = NULL;
    X509 *issuer;
    char *der;
    long der_size;
    int r = decrypt(data, size, machine, &inner);

    if (r != 0)
        return r;
    der_size = BIO_get_mem_data(inner, &der);
    r = signed_open(der, der_size > 0 ? (size_t)der_size : 0, issuers, n, &content, &issuer);
    if (r == 0)
        r = machine_fingerprint(X509_get0_pubkey(issuer), ret_issuer);
    return r == 0 ? take_bytes(content, ret) : r;
}
