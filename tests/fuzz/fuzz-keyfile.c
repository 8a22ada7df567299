/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "psk/keyfile.h"
#include "psk/limits.h"
#include "psk/nqn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The names are usable, the size of the key fits its hash, and the key may be stored under its
 * identity, which has the names and single blanks. */
static void check_accepted(const KeyfileLine *l)
{
    _cleanup_(secret_freep) Secret *again = NULL;
    bool derived = l->kind == KEYFILE_DERIVED;
    PskIdentity i;

    if (!nqn_is_usable(l->hostnqn, strlen(l->hostnqn)) ||
        !nqn_is_usable(l->subsysnqn, strlen(l->subsysnqn)) ||
        psk_interchange_format(l->hash, l->psk, &again) != 0 ||
        again->size > PSK_INTERCHANGE_MAX + 1)
        abort();
    if (derived != (*l->identity != '\0'))
        abort();
    if (derived &&
        (psk_identity_parse_key(l->identity, strlen(l->identity), l->psk->size, &i) != 0 ||
         i.hostnqn_length != strlen(l->hostnqn) ||
         memcmp(i.hostnqn, l->hostnqn, i.hostnqn_length) != 0 ||
         i.subsysnqn_length != strlen(l->subsysnqn) ||
         memcmp(i.subsysnqn, l->subsysnqn, i.subsysnqn_length) != 0 ||
         (i.version == 1) != (i.digest != NULL) || strstr(l->identity, "  ")))
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
        check_accepted(&l);
    return 0;
}
