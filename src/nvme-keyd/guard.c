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

static bool same(const char *a, size_t a_length, const char *b, size_t b_length)
{
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

/* Whether the controller uses another key of the pair that is in the ring, whoever has put it
 * there. */
static bool uses_other(const Controller *c, const RingList *list, int32_t serial,
                       const PskIdentity *identity)
{
    PskIdentity other;

    for (size_t i = 0; c->tls_key != serial && i < list->n; i++)
        if (controller_uses(c, list->keys[i].serial))
            return psk_identity_parse(list->keys[i].description, strlen(list->keys[i].description),
                                      &other) == 0 &&
                   same(other.hostnqn, other.hostnqn_length, identity->hostnqn,
                        identity->hostnqn_length) &&
                   same(other.subsysnqn, other.subsysnqn_length, identity->subsysnqn,
                        identity->subsysnqn_length);
    return false;
}

const Controller *guard_find(const ControllerList *controllers, const KeyTable *table,
                             const Key *except, const RingList *list, size_t i)
{
    const RingKey *have = &list->keys[i];
    PskIdentity identity;

    if (controllers->n == 0 ||
        psk_identity_parse(have->description, strlen(have->description), &identity) != 0)
        return NULL;
    for (size_t n = 0; n < controllers->n; n++) {
        const Controller *c = &controllers->items[n];

        if (controller_is_pinned(c, have->serial))
            return c;
        if ((controller_uses(c, have->serial) || controller_looks_for(c, &identity)) &&
            !has_other(table, except, have->serial, &identity) &&
            !uses_other(c, list, have->serial, &identity))
            return c;
    }
    return NULL;
}
