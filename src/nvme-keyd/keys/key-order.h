/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key.h"

/*
 * Keys in the order of their host NQNs, subsystem NQNs and ids: those of a pair stand side by side,
 * and behind them those whose subsystem NQN begins with theirs. It is sorted when it is looked at,
 * so many insertions cost n log n, and one between two looks a binary search and a move.
 */
typedef struct KeyOrder {
    Key **keys; /* borrowed */
    size_t n, n_sorted, n_max;
} KeyOrder;

/* Frees what order owns; it is empty then. */
void key_order_done(KeyOrder *o);

/* Notes a key that has names and an id, none of which may change while it is here.
 * Returns -ENOMEM. */
int key_order_insert(KeyOrder *o, Key *k) _must_check_;
void key_order_remove(KeyOrder *o, const Key *k);

/* Sorts what has come since the last look; then keys[0..n) are in their order. */
void key_order_sort(KeyOrder *o);

/* A key that shadows k or is shadowed by it (key_shadows()) and is neither revoked nor
 * overridden, or NULL. Takes a
 * few binary searches, however many keys there are, and a step for each whose subsystem NQN begins
 * with that of k. */
Key *key_order_find_shadow(KeyOrder *o, const Key *k);
