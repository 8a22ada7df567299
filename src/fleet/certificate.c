/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "basic/text.h"
#include "fleet/certificate.h"

static const ASN1_STRING *text_of(const GENERAL_NAME *n)
{
    return n->type == GEN_URI   ? n->d.uniformResourceIdentifier
           : n->type == GEN_DNS ? n->d.dNSName
                                : NULL;
}

/* The certificate is that of anyone. */
static bool take_name(const ASN1_STRING *s, char ret[static MACHINE_NAME_MAX + 1])
{
    char text[MACHINE_NAME_MAX + 1] = "";
    int length = s ? ASN1_STRING_length(s) : 0;

    if (length <= 0 || length > MACHINE_NAME_MAX)
        return false;
    memcpy(text, ASN1_STRING_get0_data(s), (size_t)length);
    if (strlen(text) != (size_t)length || !text_is_printable(text))
        return false;
    strcpy(ret, text);
    return true;
}

static void read_name(X509 *certificate, char ret[static MACHINE_NAME_MAX + 1])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    strcpy(ret, "-");
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
        found = take_name(text_of(sk_GENERAL_NAME_value(names, i)), ret);
    GENERAL_NAMES_free(names);
}

int certificate_describe(const char *pem, size_t size, char ret[static MACHINE_FINGERPRINT_SIZE],
                         char ret_name[static MACHINE_NAME_MAX + 1])
{
    _cleanup_(X509_freep) X509 *certificate = NULL;
    int r = machine_certificate_from_pem(pem, size, &certificate);

    if (r == 0)
        r = machine_fingerprint(X509_get0_pubkey(certificate), ret);
    if (r == 0)
        read_name(certificate, ret_name);
    return r == -EIO ? -EBADMSG : r;
}
