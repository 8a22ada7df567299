/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"
#include "psk/keyfile.h"

/*
 * A credential with PSKs is text, one key to a line:
 *
 *     [OPTION...] LINE
 *         LINE is any that a key file may have, see psk/keyfile.h.
 *     [OPTION...] SUBSYSNQN NVMeTLSkey-1:HH:BASE64:
 *         A configured PSK for the host NQN of this machine.
 *
 * Options are role=host|target|both, and for configured PSKs identity-version=0|1|0,1 and
 * derivation=rfc8446|compat, with blanks or tabs behind each. An option has a '=', and neither NQNs
 * ("nqn.") nor identities ("NVMe") begin as one does.
 */
typedef struct CredentialLine {
    KeyRole role;      /* host, unless an option says otherwise */
    unsigned versions; /* KEY_VERSION_BIT()s, 0: what the role wants */
    PskDerivation derivation;
    KeyfileLine key; /* its hostnqn is NULL where the host NQN is that of this machine */
} CredentialLine;

static inline void credential_line_done(const CredentialLine *l)
{
    keyfile_line_done(&l->key);
}

/* No such option, not with that value, or not for this kind of key; other than any PskError. */
#define CREDENTIAL_E_OPTION 1000

/* Parses a line without its newline. The caller releases *ret with credential_line_done().
 * Returns 0, -ENOMEM, CREDENTIAL_E_OPTION or a PskError. */
int credential_line_parse(const char *text, size_t length, CredentialLine *ret) _must_check_;

/* As psk_error_text(). */
const char *credential_line_error_text(int error);
