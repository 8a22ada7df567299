/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "envelope/limits.h"
#include "envelope/machine.h"
#include "test.h"

static bool has_uri(X509 *c, const char *uri)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *n =
        sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;
    bool found =
        n && n->type == GEN_URI &&
        strcmp((const char *)ASN1_STRING_get0_data(n->d.uniformResourceIdentifier), uri) == 0;

    GENERAL_NAMES_free(names);
    return found;
}

TEST(certificate)
{
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    _cleanup_(X509_freep) X509 *c = NULL, *again = NULL, *plain = NULL;
    _cleanup_(freep) char *pem = NULL;
    char one[MACHINE_FINGERPRINT_SIZE], other[MACHINE_FINGERPRINT_SIZE];
    /* A name is data, not the configuration of an extension. */
    const char *name = "nqn.2026-11.org.example:a,DNS:b";

    ASSERT_OK(machine_key_new(&key));
    ASSERT_OK(machine_certificate(key, name, false, &c));
    ASSERT_EQ(X509_verify(c, key), 1);
    ASSERT_TRUE(has_uri(c, name));
    ASSERT_EQ(X509_get_key_usage(c), KU_KEY_AGREEMENT | KU_DIGITAL_SIGNATURE);
    ASSERT_EQ(X509_NAME_get_index_by_NID(X509_get_subject_name(c), NID_commonName, -1), -1);
    ASSERT_TRUE(X509_get0_subject_key_id(c));
    ASSERT_OK(machine_certificate_to_pem(c, &pem));
    ASSERT_OK(machine_certificate_from_pem(pem, strlen(pem), &again));
    ASSERT_OK(machine_fingerprint(key, one));
    ASSERT_OK(machine_fingerprint(X509_get0_pubkey(again), other));
    ASSERT_STR(one, other);
    ASSERT_OK(machine_certificate(key, NULL, true, &plain));
    ASSERT_EQ(X509_get_key_usage(plain), KU_DIGITAL_SIGNATURE);
}

TEST(certificate_refused)
{
    X509 *c = NULL;
    static char long_text[MACHINE_PEM_MAX + 1];

    ASSERT_EQ(machine_certificate_from_pem("", 0, &c), -EBADMSG);
    ASSERT_EQ(machine_certificate_from_pem("-----BEGIN", 10, &c), -EBADMSG);
    ASSERT_EQ(machine_certificate_from_pem(long_text, sizeof(long_text), &c), -EBADMSG);
}
