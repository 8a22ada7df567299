/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/guard.h"

/* Whether the kernel would find another key for the pair. */
static bool has_other(const KeyTable *table, const Key *except, int32_t serial,
                      const PskIdentity *identity)
{
    const Key *k = key_table_pair(table, identity->hostnqn, identity->hostnqn_length,
                                  identity->subsysnqn, identity->subsysnqn_length);

    for (; k; k = k->next_of_pair)
        for (unsigned v = 0; k != except && v < KEY_VERSIONS; v++)
            if (k->serials[v] && k->serials[v] != serial && k->role & KEY_ROLE_HOST &&
                key_is_publishable(k, now_realtime()))
                return true;
    return false;
}

const Controller *guard_find(const ControllerList *controllers, const KeyTable *table,
                             const Key *except, int32_t serial, const char *description)
{
    PskIdentity identity;

    if (controllers->n == 0 || psk_identity_parse(description, strlen(description), &identity) != 0)
        return NULL;
    for (size_t i = 0; i < controllers->n; i++) {
        const Controller *c = &controllers->items[i];

        if (controller_needs(c, serial, &identity) &&
            (controller_is_pinned(c, serial) || !has_other(table, except, serial, &identity)))
            return c;
    }
    return NULL;
}
