/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "nvme-keyd/publish/rival.h"
#include "psk/nqn.h"

/* Returns a key of a pair whose search could end before it gets to ours, or NULL. */
static const Key *find_of_pair(const KeyTable *table, const PskSearch *s, size_t length)
{
    const Key *first = key_table_pair(table, s->hostnqn, s->hostnqn_length, s->word, length);
    unsigned ranks = 0;

    for (const Key *k = first; k; k = k->next_of_pair)
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->role & KEY_ROLE_HOST && k->serials[v])
                ranks |= key_search_ranks(k) & KEY_RANKS_OF_VERSION(v);
    /* It ends at the greatest one. */
    return ranks != 0 && ranks < 2 * KEY_RANK_BIT(s->version, s->hash) ? first : NULL;
}

Rival rival_find(const KeyTable *table, const char *description, bool kernel_is_exact)
{
    size_t length = strlen(description);
    PskIdentity i;
    const Key *found;
    PskSearch s;

    if (psk_identity_split(description, length, &s) != 0)
        return (Rival){.of = NULL};
    found = find_of_pair(table, &s, s.word_length);
    if (found)
        return (Rival){psk_identity_parse_key(description, length, psk_hash_size(s.hash), &i) == 0
                           ? RING_NOTICE_RIVAL
                           : RING_NOTICE_MALFORMED,
                       found};
    /* The longest name first: of those that are alike it is the most likely one. */
    for (size_t n = CONST_MIN(s.word_length - 1, (size_t)NQN_LENGTH_MAX);
         !kernel_is_exact && n >= NQN_LENGTH_MIN; n--) {
        found = find_of_pair(table, &s, n);
        if (found)
            return (Rival){RING_NOTICE_SHADOW, found};
    }
    return (Rival){.of = NULL};
}

void rival_note(const Rival *r, bool displaced, int32_t serial, RingNotices *notices)
{
    const PskIdentity pair = {.hostnqn = r->of->hostnqn,
                              .hostnqn_length = strlen(r->of->hostnqn),
                              .subsysnqn = r->of->subsysnqn,
                              .subsysnqn_length = strlen(r->of->subsysnqn)};

    ring_notices_add(notices, displaced ? RING_NOTICE_DISPLACED : r->kind, serial, &pair, "");
}

bool rival_is_pinned(const ControllerList *l, int32_t serial)
{
    for (size_t i = 0; i < l->n; i++)
        if (controller_is_pinned(&l->items[i], serial))
            return true;
    return false;
}
