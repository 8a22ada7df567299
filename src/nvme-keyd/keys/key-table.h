/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/linkhash.h>
#include <string.h>

#include "nvme-keyd/keys/key-order.h"

/* The keys in memory: by id and by pair of host and subsystem NQN, each found in constant time, and
 * sorted by names. */
typedef struct KeyTable {
    struct lh_table *by_id;
    struct lh_table *by_pair; /* "HOSTNQN SUBSYSNQN" -> first Key of the pair */
    KeyOrder by_name;         /* all except broken keys */
    struct KeyCursor *cursors;
} KeyTable;

int key_table_init(KeyTable *t) _must_check_;
void key_table_done(KeyTable *t);

/* Takes ownership of k on success. Broken keys are found by id only. */
int key_table_insert(KeyTable *t, Key *k) _must_check_;
/* Removes and frees k. */
void key_table_remove(KeyTable *t, Key *k);

/* Removes and frees all keys with a record, or all handed-in keys. */
void key_table_remove_all(KeyTable *t, bool handed_in);

size_t key_table_size(const KeyTable *t);
Key *key_table_find(const KeyTable *t, const char *id);
/* Returns the chain (next_of_pair) of all keys of a pair, or NULL. The NQNs need not be terminated.
 */
Key *key_table_pair(const KeyTable *t, const char *hostnqn, size_t hostnqn_length,
                    const char *subsysnqn, size_t subsysnqn_length);

/* Iterates over the keys of the pair of k, including k if the table has it. The body must not
 * insert or remove keys. */
#define KEY_TABLE_FOREACH_OF_PAIR(t, of, k)                                                        \
    for ((k) = key_table_pair(t, (of)->hostnqn, strlen((of)->hostnqn), (of)->subsysnqn,            \
                              strlen((of)->subsysnqn));                                            \
         (k); (k) = (k)->next_of_pair)

/* Same as key_order_find_shadow(), among all keys. */
Key *key_table_find_shadow(KeyTable *t, const Key *k);

/*
 * A position in the table that survives changes: a key that stays from begin to end is returned
 * once, and one that is added or removed meanwhile at most once. Removing all keys at once, as when
 * they are read again, makes the cursor stale.
 */
typedef struct KeyCursor {
    KeyTable *table;
    Key *next; /* NULL at the end, or if it is stale */
    bool stale;
    struct KeyCursor *other, **link; /* cursors of the same table; link: the pointer to this one */
} KeyCursor;

/* Starts at the first key. Neither the table nor the cursor may move until it is done. */
void key_cursor_begin(KeyCursor *c, KeyTable *t);
/* Returns the key at the cursor and advances; NULL at the end. */
const Key *key_cursor_take(KeyCursor *c);
void key_cursor_done(KeyCursor *c);

/* Iterates in the order of insertion. The body must not insert or remove keys. */
#define KEY_TABLE_FOREACH(t, k)                                                                    \
    for (struct lh_entry *e_ = lh_table_head((t)->by_id);                                          \
         e_ && ((k) = (Key *)(uintptr_t)lh_entry_v(e_), true); e_ = lh_entry_next(e_))
