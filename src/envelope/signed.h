/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/x509.h>

#include "envelope/machine.h"

/*
 * A text signed by an issuer: CMS SignedData (RFC 5652 section 5) with SHA-256 and no certificates.
 * It is the inside of an envelope, and, in PEM, a statement that everybody may read. The content
 * says which of the two it is.
 */

DEFINE_CLEANUP(BIO, BIO_free_all)

/* Signs size bytes. *ret has the message in DER, for the caller to free. Returns 0 or -EIO. */
int signed_make(const void *data, size_t size, X509 *issuer, EVP_PKEY *key, BIO **ret) _must_check_;

/* Checks that one of n issuers has signed a message in DER, and returns its content; who has is
 * *ret_issuer, borrowed from issuers. Certificates count by their keys alone. Returns 0, an
 * EnvelopeRefusal, or -ENOMEM. */
int signed_open(const void *der, size_t size, X509 *const *issuers, size_t n, BIO **ret,
                X509 **ret_issuer) _must_check_;

/* Signs a text. *ret is the message in PEM, to be freed. Returns 0, -EIO or -ENOMEM. */
int statement_sign(const char *text, X509 *issuer, EVP_PKEY *key, char **ret) _must_check_;

/* Checks that the issuer has signed a message in PEM, with nothing after it. *ret is its content,
 * with a NUL after it, to be freed. Returns 0, an EnvelopeRefusal, or -ENOMEM. */
int statement_open(const char *pem, size_t size, X509 *issuer, char **ret, size_t *ret_size)
    _must_check_;
