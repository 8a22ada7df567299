/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"
#include "psk/keyfile.h"

/*
 * A credential with PSKs is text, one key a line:
 *
 *     [OPTION...] LINE
 *         LINE is any line of a key file, see psk/keyfile.h.
 *     [OPTION...] SUBSYSNQN NVMeTLSkey-1:HH:BASE64:
 *         A configured PSK for the host NQN of this machine.
 *
 * Options are role=host|target|both and, for configured PSKs, identity-version=0|1|0,1 and
 * derivation=rfc8446|compat|lastfrag, each followed by blanks or tabs. An option has a '=', and
 * neither an NQN ("nqn.") nor an identity ("NVMe") begins like one.
 */
typedef struct HandedLine {
    KeyRole role;      /* host, unless an option says otherwise */
    unsigned versions; /* KEY_VERSION_BIT()s; 0: the default of the role */
    PskDerivation derivation;
    KeyfileLine key; /* its hostnqn is empty for the host NQN of this machine */
} HandedLine;

static inline void handed_line_done(const HandedLine *l)
{
    keyfile_line_done(&l->key);
}

/* An unknown option, an invalid value, or an option that this kind of key does not have. Differs
 * from any PskError. */
#define HANDED_E_OPTION 1000

/* Parses a line without its newline. The caller releases *ret with handed_line_done().
 * Returns 0, -ENOMEM, HANDED_E_OPTION or a PskError. */
int handed_line_parse(const char *text, size_t length, HandedLine *ret) _must_check_;

/* As psk_error_text(). */
const char *handed_line_error_text(int error);
