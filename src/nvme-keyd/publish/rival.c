/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvme-keyd/publish/rival.h"

bool rival_is_one(const KeyTable *table, const PskIdentity *i)
{
    unsigned ranks = 0;
    const Key *k =
        key_table_pair(table, i->hostnqn, i->hostnqn_length, i->subsysnqn, i->subsysnqn_length);

    for (; k; k = k->next_of_pair)
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->role & KEY_ROLE_HOST && k->serials[v])
                ranks |= key_search_ranks(k) & KEY_RANKS_OF_VERSION(v);
    /* It ends at the greatest one. */
    return ranks != 0 && ranks < 2 * KEY_RANK_BIT(i->version, i->hash);
}

bool rival_is_pinned(const ControllerList *l, int32_t serial)
{
    for (size_t i = 0; i < l->n; i++)
        if (controller_is_pinned(&l->items[i], serial))
            return true;
    return false;
}
