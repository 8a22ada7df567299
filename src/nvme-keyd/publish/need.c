/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/publish/need.h"

/* True if the kernel would find another key for the pair, or get one by asking. */
static bool has_other(const Need *need, const Key *except, int32_t serial,
                      const PskIdentity *identity)
{
    const Key *k = key_table_pair(need->table, identity->hostnqn, identity->hostnqn_length,
                                  identity->subsysnqn, identity->subsysnqn_length);

    for (; k; k = k->next_of_pair) {
        bool can_be_asked_for = key_lifetime(k, need->on_demand_sec) > 0;

        if (k == except || !(k->role & KEY_ROLE_HOST) || !key_is_publishable(k, now_realtime()))
            continue;
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->identities[v] && (k->serials[v] ? k->serials[v] != serial : can_be_asked_for))
                return true;
    }
    return false;
}

/* True if the controller uses another key of the pair that is in the ring, even a foreign one. */
static bool uses_other(const Controller *c, const RingList *list, int32_t serial,
                       const PskIdentity *identity)
{
    PskIdentity other;

    for (size_t i = 0; c->tls_key != serial && i < list->n; i++)
        if (controller_uses(c, list->keys[i].serial))
            return psk_identity_parse(list->keys[i].description, strlen(list->keys[i].description),
                                      &other) == 0 &&
                   nqn_equals(other.hostnqn, other.hostnqn_length, identity->hostnqn,
                              identity->hostnqn_length) &&
                   nqn_equals(other.subsysnqn, other.subsysnqn_length, identity->subsysnqn,
                              identity->subsysnqn_length);
    return false;
}

const Controller *need_find(const Need *need, const Key *except, int32_t serial,
                            const char *description)
{
    PskIdentity identity;

    if (need->controllers->n == 0 ||
        psk_identity_parse(description, strlen(description), &identity) != 0)
        return NULL;
    for (size_t n = 0; n < need->controllers->n; n++) {
        const Controller *c = &need->controllers->items[n];

        if (serial && controller_is_pinned(c, serial))
            return c;
        if (((serial && controller_uses(c, serial)) || controller_looks_for(c, &identity)) &&
            !has_other(need, except, serial, &identity) &&
            !uses_other(c, need->list, serial, &identity))
            return c;
    }
    return NULL;
}
