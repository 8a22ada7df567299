/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyd/keys/key-table.h"
#include "psk/limits.h"

#define PAIR_MAX (2 * NQN_LENGTH_MAX + 1)
#define TABLE_SIZE_FIRST 64

/* NQNs have no blanks, so a blank separates them unambiguously. */
static int pair_name(const char *hostnqn, size_t hostnqn_length, const char *subsysnqn,
                     size_t subsysnqn_length, char ret[static PAIR_MAX + 1])
{
    if (hostnqn_length > NQN_LENGTH_MAX || subsysnqn_length > NQN_LENGTH_MAX)
        return -EINVAL;
    (void)snprintf(ret, PAIR_MAX + 1, "%.*s %.*s", (int)hostnqn_length, hostnqn,
                   (int)subsysnqn_length, subsysnqn);
    return 0;
}

static void free_pair_name(struct lh_entry *e)
{
    free(lh_entry_k(e));
}

static void free_key(struct lh_entry *e)
{
    key_free((Key *)(uintptr_t)lh_entry_v(e));
}

int key_table_init(KeyTable *t)
{
    t->by_name = (KeyOrder){NULL, 0, 0, 0};
    t->cursors = NULL;
    t->by_id = lh_kchar_table_new(TABLE_SIZE_FIRST, free_key);
    t->by_pair = lh_kchar_table_new(TABLE_SIZE_FIRST, free_pair_name);
    return t->by_id && t->by_pair ? 0 : -ENOMEM;
}

void key_table_done(KeyTable *t)
{
    key_order_done(&t->by_name);
    if (t->by_pair)
        lh_table_free(t->by_pair);
    if (t->by_id)
        lh_table_free(t->by_id);
    t->by_pair = t->by_id = NULL;
}

size_t key_table_size(const KeyTable *t)
{
    return (size_t)lh_table_length(t->by_id);
}

Key *key_table_find(const KeyTable *t, const char *id)
{
    void *k;

    return lh_table_lookup_ex(t->by_id, id, &k) ? k : NULL;
}

Key *key_table_pair(const KeyTable *t, const char *hostnqn, size_t hostnqn_length,
                    const char *subsysnqn, size_t subsysnqn_length)
{
    char name[PAIR_MAX + 1];
    void *k;

    if (pair_name(hostnqn, hostnqn_length, subsysnqn, subsysnqn_length, name) < 0)
        return NULL;
    return lh_table_lookup_ex(t->by_pair, name, &k) ? k : NULL;
}

Key *key_table_find_shadow(KeyTable *t, const Key *k)
{
    return key_order_find_shadow(&t->by_name, k);
}

static int insert_pair(KeyTable *t, Key *k)
{
    Key *first =
        key_table_pair(t, k->hostnqn, strlen(k->hostnqn), k->subsysnqn, strlen(k->subsysnqn));
    _cleanup_(freep) char *copy = NULL;
    char name[PAIR_MAX + 1];

    if (first) {
        k->next_of_pair = first->next_of_pair;
        first->next_of_pair = k;
        return 0;
    }
    if (pair_name(k->hostnqn, strlen(k->hostnqn), k->subsysnqn, strlen(k->subsysnqn), name) < 0)
        return -EINVAL;
    copy = strdup(name);
    if (!copy || lh_table_insert(t->by_pair, copy, k) < 0)
        return -ENOMEM;
    copy = NULL;
    return 0;
}

static void remove_pair(KeyTable *t, Key *k)
{
    Key *p = key_table_pair(t, k->hostnqn, strlen(k->hostnqn), k->subsysnqn, strlen(k->subsysnqn));
    struct lh_entry *e;
    char name[PAIR_MAX + 1];

    if (p && p != k) {
        while (p->next_of_pair && p->next_of_pair != k)
            p = p->next_of_pair;
        p->next_of_pair = k->next_of_pair;
        return;
    }
    if (pair_name(k->hostnqn, strlen(k->hostnqn), k->subsysnqn, strlen(k->subsysnqn), name) < 0)
        return;
    e = lh_table_lookup_entry(t->by_pair, name);
    if (e && k->next_of_pair)
        lh_entry_set_val(e, k->next_of_pair);
    else if (e)
        lh_table_delete_entry(t->by_pair, e);
}

static int insert_names(KeyTable *t, Key *k)
{
    int r = key_order_insert(&t->by_name, k);

    if (r < 0)
        return r;
    r = insert_pair(t, k);
    if (r < 0)
        key_order_remove(&t->by_name, k);
    return r;
}

int key_table_insert(KeyTable *t, Key *k)
{
    if (lh_table_insert(t->by_id, k->id, k) < 0)
        return -ENOMEM;
    if (k->hostnqn && insert_names(t, k) < 0) {
        struct lh_entry *e = lh_table_lookup_entry(t->by_id, k->id);

        /* On error the caller keeps the key. */
        lh_entry_set_val(e, NULL);
        lh_table_delete_entry(t->by_id, e);
        return -ENOMEM;
    }
    return 0;
}

static Key *key_after(const KeyTable *t, const Key *k)
{
    const struct lh_entry *e = lh_table_lookup_entry(t->by_id, k->id);
    const struct lh_entry *next = e ? lh_entry_next(e) : NULL;

    return next ? (Key *)(uintptr_t)lh_entry_v(next) : NULL;
}

void key_cursor_begin(KeyCursor *c, KeyTable *t)
{
    const struct lh_entry *head = lh_table_head(t->by_id);

    *c = (KeyCursor){.table = t, .other = t->cursors, .link = &t->cursors};
    c->next = head ? (Key *)(uintptr_t)lh_entry_v(head) : NULL;
    if (c->other)
        c->other->link = &c->other;
    t->cursors = c;
}

const Key *key_cursor_take(KeyCursor *c)
{
    const Key *k = c->next;

    if (k)
        c->next = key_after(c->table, k);
    return k;
}

void key_cursor_done(KeyCursor *c)
{
    *c->link = c->other;
    if (c->other)
        c->other->link = c->link;
}

void key_table_remove(KeyTable *t, Key *k)
{
    for (KeyCursor *c = t->cursors; c; c = c->other)
        if (c->next == k)
            c->next = key_after(t, k);
    if (k->hostnqn) {
        key_order_remove(&t->by_name, k);
        remove_pair(t, k);
    }
    lh_table_delete(t->by_id, k->id);
}

void key_table_remove_all(KeyTable *t, bool handed_in)
{
    struct lh_entry *next;
    bool removed = false;

    for (struct lh_entry *e = lh_table_head(t->by_id); e; e = next) {
        Key *k = (Key *)(uintptr_t)lh_entry_v(e);

        next = lh_entry_next(e);
        if (key_is_handed_in(k) != handed_in)
            continue;
        key_table_remove(t, k);
        removed = true;
    }
    for (KeyCursor *c = t->cursors; c && removed; c = c->other) {
        c->stale = true;
        c->next = NULL;
    }
}
