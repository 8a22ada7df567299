/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/publish/ring-watch.h"

/* Serials in ascending order. */
typedef struct Serials {
    int32_t *items;
    size_t n;
} Serials;

static void serials_done(const Serials *s)
{
    free(s->items);
}

static int compare(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool has(const Serials *s, int32_t serial)
{
    return s->n > 0 && bsearch(&serial, s->items, s->n, sizeof(serial), compare);
}

void ring_watch_done(RingWatch *w)
{
    glance_done(&w->glance);
    free(w->known);
    *w = (RingWatch){.known = NULL};
}

/* The serials that the table has for all of its keys. */
static int read_ours(const KeyTable *table, Serials *ret)
{
    const Key *k;

    ret->items = calloc(key_table_size(table) * KEY_VERSIONS + 1, sizeof(*ret->items));
    if (!ret->items)
        return -ENOMEM;
    KEY_TABLE_FOREACH(table, k)
    {
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->serials[v])
                ret->items[ret->n++] = k->serials[v];
    }
    qsort(ret->items, ret->n, sizeof(*ret->items), compare);
    return 0;
}

/* A key that was never there is none of ours to lose: reconciling tries again by itself. */
static bool is_lost(const Key *k, unsigned version, const Serials *now)
{
    int32_t serial = k->serials[version];

    if (!serial)
        return k->lost[version] != 0;
    return !has(now, serial) || ring_key_state(serial) < 0;
}

static bool lacks_ours(const KeyTable *table, const Serials *now, unsigned on_demand_sec)
{
    uint64_t time = now_realtime();
    const Key *k;

    KEY_TABLE_FOREACH(table, k)
    {
        if (!key_is_publishable(k, time) || key_lifetime(k, on_demand_sec) > 0)
            continue;
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->identities[v] && k->lifetimes[v] == 0 && is_lost(k, v, now))
                return true;
    }
    return false;
}

/* True if a has a serial that neither b nor ours has. */
static bool has_more(const Serials *a, const Serials *b, const Serials *ours)
{
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, a->items[i]) && !has(ours, a->items[i]))
            return true;
    return false;
}

int ring_watch_look(RingWatch *w, const Ring *ring, const KeyTable *table, unsigned on_demand_sec,
                    bool gone)
{
    _cleanup_(serials_done) Serials ours = {NULL, 0};
    Serials now, known;
    RingChange change = RING_AS_IT_WAS;
    int r;

    if (w->ring != ring_serial(ring))
        ring_watch_done(w);
    r = glance_look(&w->glance, ring);
    if (r < 0 || r == GLANCE_SAME)
        return r;
    now = (Serials){calloc(w->glance.n + 1, sizeof(*now.items)), w->glance.n};
    if (!now.items || read_ours(table, &ours) < 0) {
        free(now.items);
        ring_watch_done(w);
        return -ENOMEM;
    }
    memcpy(now.items, w->glance.serials, now.n * sizeof(*now.items));
    qsort(now.items, now.n, sizeof(*now.items), compare);
    known = (Serials){w->known, w->n_known};

    if (lacks_ours(table, &now, on_demand_sec))
        change = RING_LACKS_OURS;
    else if (has_more(&now, &known, &ours) || (gone && has_more(&known, &now, &ours)))
        change = RING_HAS_OTHERS;
    free(w->known);
    w->known = now.items;
    w->n_known = now.n;
    w->ring = ring_serial(ring);
    return (int)change;
}
