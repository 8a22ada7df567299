/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/secret.h"
#include "psk/interchange.h"
#include "psk/limits.h"

/* How the info of HKDF-Expand is made. Both ends of a connection must agree. */
typedef enum PskDerivation {
    PSK_RFC8446, /* RFC 8446 section 7.1: SPDK, libnvme 1.16 and newer, nvme-cli 2.16 and newer */
    PSK_COMPAT,  /* libnvme 1.11 to 1.15: little-endian length, label and context without lengths */
    /* The same, built with OpenSSL before 3.3.1, where each part of the info replaced the one
     * before: only the last one counts. */
    PSK_LASTFRAG,
    PSK_DERIVATIONS,
} PskDerivation;

/* "rfc8446", "compat", "lastfrag". */
const char *psk_derivation_to_string(PskDerivation derivation);
int psk_derivation_from_string(const char *s, PskDerivation *ret) _must_check_;

/* Characters of a Base64 SHA-384 digest. */
#define PSK_DIGEST_MAX 64

/* A configured PSK and all that its TLS PSKs depend on. Borrows everything. */
typedef struct PskSource {
    const Secret *configured;
    PskHash hash;
    PskDerivation derivation;
    const char *hostnqn;
    const char *subsysnqn;
} PskSource;

/* A key of the kernel: the identity is its description, the TLS PSK its payload. */
typedef struct TlsPsk {
    char identity[PSK_IDENTITY_MAX + 1];
    Secret *key; /* 32 or 48 bytes */
} TlsPsk;

static inline void tls_psk_done(const TlsPsk *p)
{
    secret_free(p->key);
}

/* Derives identity and TLS PSK of a version (0 or 1): configured -> retained PSK -> digest -> TLS
 * PSK (NVMe/TCP Transport Specification 1.0, 3.6.1.3 and 3.6.1.5). The caller releases *ret with
 * tls_psk_done(). Returns 0, PSK_E_IDENTITY_LENGTH, -ENOMEM or -EIO (OpenSSL failed). */
int psk_derive(const PskSource *source, unsigned version, TlsPsk *ret) _must_check_;

/* The PSK digest of version 1 identities, which identifies a PSK without revealing it. */
int psk_digest(const PskSource *source, char ret[static PSK_DIGEST_MAX + 1]) _must_check_;
