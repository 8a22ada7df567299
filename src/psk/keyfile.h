/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/secret.h"
#include "psk/identity.h"

/*
 * A key file is text, one key to a line, with blanks or tabs between the words of a line:
 *
 *     IDENTITY NVMeTLSkey-1:HH:BASE64:
 *         As `nvme tls-key --export` and `nvme keys export` write it. IDENTITY is "NVMe0Rhh HOSTNQN
 *         SUBSYSNQN" or "NVMe1Rhh HOSTNQN SUBSYSNQN DIGEST", and BASE64 has the TLS PSK derived for
 *         it. nvme-cli 2.11 to 2.16 write NVMeTLSkey-0 after an identity of version 0.
 *     NVMe0Ghh ..., NVMe1Ghh ...
 *         A key that the kernel has generated for one connection, which nvme-cli exports as well.
 *     IDENTITY DHHC-1:HH:BASE64:
 *         A secret of DH-HMAC-CHAP, which nvme-cli 3 keeps in the same file.
 *     HOSTNQN SUBSYSNQN NVMeTLSkey-1:HH:BASE64:
 *         Only nvme-keyd reads this: BASE64 holds the configured PSK.
 *
 * A line that begins with "NVMe" is one of an identity. An NQN need not begin with "nqn.". Empty
 * lines, lines that begin with '#', blanks and tabs around a line, and a byte order mark of UTF-8
 * before it are ignored.
 */
typedef enum KeyfileKind {
    KEYFILE_NOTHING,
    KEYFILE_DHCHAP,
    KEYFILE_GENERATED,
    KEYFILE_DERIVED,
    KEYFILE_CONFIGURED,
} KeyfileKind;

/* A parsed line. A text that it does not have is empty. */
typedef struct KeyfileLine {
    KeyfileKind kind;
    char identity[PSK_IDENTITY_MAX + 1]; /* KEYFILE_DERIVED only, with single blanks */
    char hostnqn[NQN_LENGTH_MAX + 1];    /* of both kinds of PSKs, like the next one */
    char subsysnqn[NQN_LENGTH_MAX + 1];
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

/* Parses a key that stands beside an identity: a TLS PSK, with the version of the format that some
 * nvme-cli write. Returns as psk_interchange_parse(). */
int keyfile_parse_derived_psk(const char *text, size_t length, PskHash *ret_hash, Secret **ret)
    _must_check_;
