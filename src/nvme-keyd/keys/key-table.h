/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/linkhash.h>
#include <string.h>

#include "nvme-keyd/keys/key-order.h"

/* The keys in memory, by id and by pair of host and subsystem NQN, where each look-up takes
 * constant time, and in the order of their names. */
typedef struct KeyTable {
    struct lh_table *by_id;
    struct lh_table *by_pair; /* "HOSTNQN SUBSYSNQN" to the first Key of the pair */
    KeyOrder by_name;         /* all but the broken ones */
    struct KeyCursor *cursors;
} KeyTable;

int key_table_init(KeyTable *t) _must_check_;
void key_table_done(KeyTable *t);

/* Takes ownership of k on success. Broken keys are found by id only. */
int key_table_insert(KeyTable *t, Key *k) _must_check_;
/* Takes k out and frees it. */
void key_table_remove(KeyTable *t, Key *k);

/* Takes out and frees those that have a record, or those that were handed in. */
void key_table_remove_all(KeyTable *t, bool handed_in);

size_t key_table_size(const KeyTable *t);
Key *key_table_find(const KeyTable *t, const char *id);
/* The chain (next_of_pair) of all keys of a pair, or NULL. The NQNs need not be terminated. */
Key *key_table_pair(const KeyTable *t, const char *hostnqn, size_t hostnqn_length,
                    const char *subsysnqn, size_t subsysnqn_length);

/* Iterates over the keys of k's pair, k itself included where the table has it. The body must not
 * insert or remove. */
#define KEY_TABLE_FOREACH_OF_PAIR(t, of, k)                                                        \
    for ((k) = key_table_pair(t, (of)->hostnqn, strlen((of)->hostnqn), (of)->subsysnqn,            \
                              strlen((of)->subsysnqn));                                            \
         (k); (k) = (k)->next_of_pair)

/* As key_order_find_shadow(), among all keys. */
Key *key_table_find_shadow(KeyTable *t, const Key *k);

/*
 * A place in the table that outlives changes: each key that is there from begin to end comes once,
 * and one that is added or removed meanwhile at most once. Where all keys are taken out at once, as
 * when they are read anew, that cannot be had, and the cursor is stale.
 */
typedef struct KeyCursor {
    KeyTable *table;
    Key *next; /* NULL at the end, or where it is stale */
    bool stale;
    struct KeyCursor *other, **link; /* of the same table; link: what points here */
} KeyCursor;

/* At the first key. The table, and the cursor where it is, must stay until it is done. */
void key_cursor_begin(KeyCursor *c, KeyTable *t);
/* The key at the cursor, which goes on to the next one; NULL at the end. */
const Key *key_cursor_take(KeyCursor *c);
void key_cursor_done(KeyCursor *c);

/* Iterates in the order of insertion. The body must not insert or remove. */
#define KEY_TABLE_FOREACH(t, k)                                                                    \
    for (struct lh_entry *e_ = lh_table_head((t)->by_id);                                          \
         e_ && ((k) = (Key *)(uintptr_t)lh_entry_v(e_), true); e_ = lh_entry_next(e_))
