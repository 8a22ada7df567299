/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <openssl/x509.h>

#include "envelope/machine.h"

/*
 * An envelope on the way: CMS (RFC 5652) in PEM, which survives mail and terminals, or in DER.
 * Inside is SignedData of the issuer, around it AuthEnvelopedData (RFC 5083) with AES-256-GCM and
 * one ECDH recipient for each machine (RFC 5753), so "openssl cms" can make and open it. Whoever
 * carries it can read, change and forge nothing; the content names the machines that it is for, so
 * that one of them cannot seal it to another.
 *
 * OpenSSL keeps the content on its heap for a moment: use a process that wipes what it frees, see
 * crypto_memory_init().
 */

/* Why an envelope was refused. Details never repeat its content. */
typedef enum EnvelopeRefusal {
    ENVELOPE_MALFORMED = 1, /* no such CMS message, or a damaged one */
    ENVELOPE_NOT_FOR_US,    /* no recipient has our key */
    ENVELOPE_ISSUER,        /* not signed, or by an issuer that is not trusted */
    ENVELOPE_SIGNATURE,     /* the signature of a trusted issuer is wrong */
    /* Of the content, which envelope_open() does not read. */
    ENVELOPE_OTHER_PAIRS, /* no pair of this machine is in it */
    ENVELOPE_NOT_YET,
    ENVELOPE_EXPIRED,
    ENVELOPE_REPLAYED, /* this generation of a pair was taken before, or a later one */
} EnvelopeRefusal;

const char *envelope_refusal_text(int refusal);

/* Signs content with the key of issuer, and seals it to n recipients. *ret is the PEM text, with
 * a NUL, to be freed; it holds no secret. Returns 0, -EINVAL (no recipients, or too many; content
 * too long), -ENOMEM, or -EIO (OpenSSL failed). */
int envelope_seal(const Secret *content, X509 *issuer, EVP_PKEY *issuer_key,
                  X509 *const *recipients, size_t n, char **ret) _must_check_;

/* Reads which machines an envelope is sealed to, without opening it: writes up to max key
 * identifiers (RFC 5652 section 6.2.2) in hexadecimal digits; those of our certificates are the
 * beginning of the fingerprint. An empty one is of a certificate named by issuer and serial number.
 * Returns the number of recipients, which may be more than max, or -EBADMSG. */
int envelope_recipients(const void *data, size_t size, char (*ret)[MACHINE_KEY_ID_SIZE], size_t max)
    _must_check_;

/* Opens an envelope with the key of a machine, and checks that one of n trusted issuers has signed
 * it. Their certificates count by their keys alone: neither a CA nor a time is checked. Returns 0,
 * an EnvelopeRefusal, -ENOMEM, or -EIO. */
int envelope_open(const void *data, size_t size, EVP_PKEY *machine, X509 *const *issuers, size_t n,
                  Secret **ret, char ret_issuer[static MACHINE_FINGERPRINT_SIZE]) _must_check_;
