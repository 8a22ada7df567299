/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/secret.h"
#include "psk/identity.h"

/*
 * A key file is text, one key to a line, the words of a line one blank apart:
 *
 *     IDENTITY NVMeTLSkey-1:HH:BASE64:
 *         As `nvme tls-key --export` and `nvme keys export` write it. IDENTITY is "NVMe0Rhh HOSTNQN
 *         SUBSYSNQN" or "NVMe1Rhh HOSTNQN SUBSYSNQN DIGEST", and BASE64 has the TLS PSK derived for
 *         it. nvme-cli 2.11 to 2.16 write NVMeTLSkey-0 after an identity of version 0.
 *     IDENTITY DHHC-1:HH:BASE64:
 *         A secret of DH-HMAC-CHAP, which nvme-cli 3 keeps in the same file.
 *     HOSTNQN SUBSYSNQN NVMeTLSkey-1:HH:BASE64:
 *         Only nvme-keyd reads this: BASE64 holds the configured PSK.
 *
 * An identity begins with "NVMe", an NQN with "nqn.", so the kind of a line is never ambiguous.
 * Empty lines, lines that begin with '#', and blanks and tabs around a line are ignored.
 */
typedef enum KeyfileKind {
    KEYFILE_NOTHING,
    KEYFILE_DHCHAP,
    KEYFILE_DERIVED,
    KEYFILE_CONFIGURED,
} KeyfileKind;

/* A parsed line; the texts point into it. */
typedef struct KeyfileLine {
    KeyfileKind kind;
    const char *identity; /* KEYFILE_DERIVED only */
    size_t identity_length;
    const char *hostnqn; /* of both kinds of PSKs */
    size_t hostnqn_length;
    const char *subsysnqn;
    size_t subsysnqn_length;
    PskHash hash; /* of the interchange format */
    Secret *psk;  /* configured PSK or TLS PSK; NULL for the other kinds */
} KeyfileLine;

static inline void keyfile_line_done(const KeyfileLine *l)
{
    secret_free(l->psk);
}

/* Parses a line without its newline. The caller releases *ret with keyfile_line_done().
 * Returns 0, -ENOMEM or a PskError. */
int keyfile_line_parse(const char *text, size_t length, KeyfileLine *ret) _must_check_;
