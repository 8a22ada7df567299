/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "basic/secret.h"

/*
 * The identity of a machine: a private key of the curve P-256, to which others seal envelopes. Its
 * fingerprint is the SHA-256 digest of the public key (SubjectPublicKeyInfo in DER, RFC 5280
 * section 4.1.2.7), in lower-case hexadecimal digits. It stays the same whoever certifies the key.
 */
#define MACHINE_FINGERPRINT_SIZE 65
/* The subject key identifier of a certificate, in hexadecimal digits. */
#define MACHINE_KEY_ID_SIZE 41

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(X509, X509_free)

/* Returns 0, -ENOMEM or -EIO (OpenSSL failed), as all that follow. The caller frees the result. */
int machine_key_new(EVP_PKEY **ret) _must_check_;

/* A private key as ECPrivateKey in DER (RFC 5915). Reading returns -EBADMSG if it is none of P-256.
 */
int machine_key_to_der(EVP_PKEY *key, Secret **ret) _must_check_;
int machine_key_from_der(const Secret *der, EVP_PKEY **ret) _must_check_;

int machine_fingerprint(EVP_PKEY *key, char ret[static MACHINE_FINGERPRINT_SIZE]) _must_check_;

/* A certificate that the key signs itself, so that programs that know certificates only can seal to
 * it. name: a host NQN, as a URI in the SAN; NULL for none. There is no CN: etcd takes one for a
 * user. Issuers have is_issuer: they sign. */
int machine_certificate(EVP_PKEY *key, const char *name, bool is_issuer, X509 **ret) _must_check_;

/* A certificate request (PKCS #10) with the same subject and name, in PEM, to be freed. */
int machine_request(EVP_PKEY *key, const char *name, char **ret) _must_check_;

/* In PEM, to be freed. machine_certificate_from_pem() reads the first certificate and returns
 * -EBADMSG without one, or if its key is not of P-256. */
int machine_certificate_to_pem(X509 *certificate, char **ret) _must_check_;
int machine_certificate_from_pem(const char *pem, size_t size, X509 **ret) _must_check_;
