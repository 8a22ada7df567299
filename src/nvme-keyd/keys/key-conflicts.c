/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "nvme-keyd/keys/key-conflicts.h"
#include "nvme-keyd/keys/key-rules.h"

/*
 * A pair of keys is found once: among the new ones from the key with the shorter name, so the
 * search of one key costs its conflicts; with a key of the table from the new one.
 */

typedef struct Search {
    KeyTable *table;
    const KeyCheck *check;
    Conflicts found;
    KeyOrder standing; /* new keys that collide with no earlier one */
    const Key *key;    /* of the walk that is under way */
} Search;

static void search_done(Search *s)
{
    key_order_done(&s->standing);
    key_conflicts_done(&s->found);
}

void key_conflicts_done(Conflicts *c)
{
    free(c->items);
    *c = (Conflicts){.n = 0};
}

const char *key_conflict_reason_to_string(ConflictReason reason)
{
    static const char *const names[] = {"exists", "hash", "name"};

    return names[reason];
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_forced(const KeyCheck *check, const Key *loser)
{
    return loser &&
           (check->force || (check->n_force_for > 0 &&
                             bsearch(&loser->subsysnqn, check->force_for, check->n_force_for,
                                     sizeof(*check->force_for), compare_names)));
}

/* Returns 1 where the search ends. */
static int append(Search *s, const Conflict *c)
{
    Conflicts *f = &s->found;

    if (is_forced(s->check, c->loser)) {
        f->n_forced++;
        return 0;
    }
    if (f->n == CONFLICTS_MAX) {
        f->more = true;
        return 1;
    }
    if (f->n == f->n_max) {
        size_t n_max = 2 * f->n_max + 16;
        Conflict *items = reallocarray(f->items, n_max, sizeof(*items));

        if (!items)
            return -ENOMEM;
        f->items = items;
        f->n_max = n_max;
    }
    f->items[f->n++] = *c;
    return 0;
}

static int append_collision(Search *s, const Key *k, const Key *other)
{
    return append(s, &(Conflict){CONFLICT_EXISTS, k, other, NULL, false});
}

static int append_rival(Search *s, const Key *k, const Key *other)
{
    return append(s, &(Conflict){CONFLICT_HASH, k, other, k->hash < other->hash ? k : other, true});
}

/* Compares a new key with those of its pair that stand before it. */
static int check_pair(Search *s, Key *k)
{
    KeyOrder *o = &s->standing;
    size_t first = o->n, collisions = s->found.n;
    int r = 0;

    while (first > 0 && key_same_pair(o->keys[first - 1], k))
        first--;
    for (size_t i = first; i < o->n && r == 0; i++) {
        if (key_collides(o->keys[i], k))
            r = append_collision(s, k, o->keys[i]);
    }
    if (r != 0 || s->found.n > collisions)
        return r;
    for (size_t i = first; i < o->n && r == 0; i++)
        if (key_rivals(o->keys[i], k))
            r = append_rival(s, k, o->keys[i]);
    return r == 0 ? key_order_insert(o, k) : r;
}

static int check_kept_pair(Search *s, const Key *k)
{
    const Key *o;
    int r = 0;

    KEY_TABLE_FOREACH_OF_PAIR(s->table, k, o)
    {
        if (r != 0 || key_is_handed_in(o) || (o->state != KEY_ACTIVE && o->state != KEY_PENDING))
            continue;
        if (key_collides(o, k))
            r = append_collision(s, k, o);
        else if (key_rivals(o, k))
            r = append_rival(s, k, o);
    }
    return r;
}

/* The kernel compares the beginning of names, so the key with the longer one is found for the
 * other. */
static int append_names(Search *s, const Key *k, const Key *other)
{
    const Key *loser = strlen(k->subsysnqn) < strlen(other->subsysnqn) ? k : other;

    return append(
        s, &(Conflict){CONFLICT_NAME, k, other, loser, key_beats(loser == k ? other : k, loser)});
}

static int on_new(Key *other, void *userdata)
{
    Search *s = userdata;
    bool earlier = strcmp(other->id, s->key->id) < 0;

    return append_names(s, earlier ? s->key : other, earlier ? other : s->key);
}

static int on_kept(Key *other, void *userdata)
{
    Search *s = userdata;

    return append_names(s, s->key, other);
}

static int check_names(Search *s, const Key *k)
{
    int r;

    s->key = k;
    r = key_order_walk_longer(&s->standing, k, on_new, s);
    if (r == 0)
        r = key_order_walk_shorter(&s->table->by_name, k, on_kept, s);
    if (r == 0)
        r = key_order_walk_longer(&s->table->by_name, k, on_kept, s);
    return r;
}

static int compare_conflicts(const void *a, const void *b)
{
    const Conflict *x = a, *y = b;
    int r = strcmp(x->key->id, y->key->id);

    /* A key of the table has a source. */
    if (r == 0)
        r = !!x->other->source - !!y->other->source;
    return r != 0 ? r : strcmp(x->other->id, y->other->id);
}

int key_conflicts_find(KeyOrder *new, KeyTable *t, const KeyCheck *check, Conflicts *ret)
{
    _cleanup_(search_done) Search s = {.table = t, .check = check};
    int r = 0;

    key_order_sort(new);
    for (size_t i = 0; i < new->n &&r == 0; i++)
        r = check_pair(&s, new->keys[i]);
    for (size_t i = 0; i < new->n &&r == 0; i++)
        r = check_kept_pair(&s, new->keys[i]);
    for (size_t i = 0; i < s.standing.n && r == 0 && !check->kernel_is_exact; i++)
        r = check_names(&s, s.standing.keys[i]);
    if (r < 0)
        return r;
    if (s.found.n > 0)
        qsort(s.found.items, s.found.n, sizeof(*s.found.items), compare_conflicts);
    *ret = s.found;
    s.found = (Conflicts){.n = 0};
    return 0;
}

int key_conflict_detail(const Conflict *c, char **reterr_detail)
{
    const Key *other = c->other;
    const char *the = other->source ? "key " : "the key";
    const char *id = other->source ? other->id : "", *may = c->is_certain ? "takes" : "may take";

    if (c->reason == CONFLICT_EXISTS)
        return key_collides_detail(c->key, other, reterr_detail);
    if (c->reason == CONFLICT_HASH)
        return key_rivals_detail(other, reterr_detail);
    if (c->loser == c->key)
        return detail_set(reterr_detail, -ENOTUNIQ,
                          "the kernel %s %s%s for %s instead of this one, because one subsystem "
                          "NQN begins with the other",
                          may, the, id, other->subsysnqn);
    return detail_set(reterr_detail, -ENOTUNIQ,
                      "the kernel %s this key instead of %s%s for %s, because one subsystem NQN "
                      "begins with the other",
                      may, the, id, other->subsysnqn);
}
