/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope/signed.h"
#include "fleet/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The certificate of an issuer whose key is gone. */
static X509 *make_issuer(void)
{
    EVP_PKEY *key = NULL;
    X509 *issuer = NULL;

    if (machine_key_new(&key) < 0 || machine_certificate(key, NULL, true, &issuer) < 0)
        abort();
    EVP_PKEY_free(key);
    return issuer;
}

/* A signed statement, or a certificate, in PEM: nothing is signed, so nothing may come out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static X509 *issuer;
    _cleanup_(freep) char *text = NULL;
    char fingerprint[MACHINE_FINGERPRINT_SIZE], name[MACHINE_NAME_MAX + 1] = "";
    size_t n;

    if (!issuer)
        issuer = make_issuer();
    if (statement_open((const char *)data, size, issuer, &text, &n) == 0 || text)
        abort();
    if (certificate_describe((const char *)data, size, fingerprint, name) == 0 && !name[0])
        abort();
    return 0;
}
