/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "psk/keyfile.h"
#include "psk/limits.h"
#include "psk/nqn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(const char *part, size_t length, const char *text, size_t size)
{
    return part >= text && length <= size && (size_t)(part - text) <= size - length;
}

/* The names are NQNs of the line, the size of the key fits its hash, and the key may be stored
 * under its identity. */
static void check_accepted(const char *text, size_t size, const KeyfileLine *l)
{
    _cleanup_(secret_freep) Secret *again = NULL;
    bool derived = l->kind == KEYFILE_DERIVED;
    PskIdentity i;
    size_t position;

    if (!is_within(l->hostnqn, l->hostnqn_length, text, size) ||
        !is_within(l->subsysnqn, l->subsysnqn_length, text, size) ||
        nqn_check(l->hostnqn, l->hostnqn_length, &position) != NQN_OK ||
        nqn_check(l->subsysnqn, l->subsysnqn_length, &position) != NQN_OK ||
        psk_interchange_format(l->hash, l->psk, &again) != 0 ||
        again->size > PSK_INTERCHANGE_MAX + 1)
        abort();
    if (derived != (l->identity != NULL))
        abort();
    if (derived &&
        (!is_within(l->identity, l->identity_length, text, size) ||
         psk_identity_parse_key(l->identity, l->identity_length, l->psk->size, &i) != 0 ||
         i.hostnqn != l->hostnqn || i.subsysnqn != l->subsysnqn ||
         (i.version == 1) != (i.digest != NULL)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_NOTHING};
    int r = keyfile_line_parse((const char *)data, size, &l);

    if (r < 0 || r > PSK_E_LINE || (r != 0 && l.psk))
        abort();
    if (r == 0 && (l.kind == KEYFILE_DERIVED || l.kind == KEYFILE_CONFIGURED) != (l.psk != NULL))
        abort();
    if (l.psk)
        check_accepted((const char *)data, size, &l);
    return 0;
}
