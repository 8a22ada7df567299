/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/*
 * Keys sorted by host NQN, subsystem NQN and id. Keys of a pair are adjacent, and are followed by
 * those whose subsystem NQN begins with theirs. Sorted on use: many insertions cost n log n, and
 * one between two uses costs a binary search and a move.
 */
typedef struct KeyOrder {
    Key **keys; /* borrowed */
    size_t n, n_sorted, n_max;
} KeyOrder;

/* Frees the members of order, which is empty afterwards. */
void key_order_done(KeyOrder *o);

/* Inserts a key with names and an id, which must not change while it is here. Returns -ENOMEM. */
int key_order_insert(KeyOrder *o, Key *k) _must_check_;
void key_order_remove(KeyOrder *o, const Key *k);

/* Sorts the keys inserted since the last use; keys[0..n) are sorted afterwards. */
void key_order_sort(KeyOrder *o);

/* Gets a key of a walk. Anything but 0 ends the walk, and is its result. */
typedef int (*KeyOrderFn)(Key *k, void *userdata);

/* Walks the keys that shadow k or are shadowed by it (key_shadows()) and are neither revoked nor
 * overridden: those with a longer subsystem NQN than k has, or those with a shorter one. Both take
 * a few binary searches, however many keys there are, and a step for each key of such a name. */
int key_order_walk_longer(KeyOrder *o, const Key *k, KeyOrderFn fn, void *userdata);
int key_order_walk_shorter(KeyOrder *o, const Key *k, KeyOrderFn fn, void *userdata);

/* Returns one key of both walks, or NULL. */
Key *key_order_find_shadow(KeyOrder *o, const Key *k);
