/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/helper.h"
#include "credstore/transaction.h"

/* The rollback counter of a store; see store.h. */

/* Packs a request for work on a counter. key: the store key, from which its password derives. */
int store_counter_request(const Store *s, const Secret *key, SealWork work,
                          const RollbackCounter *counter, Secret **ret) _must_check_;

/* Compares the value that was read with the authentic header. Returns 0, or -ESTALE. */
int store_counter_compare(const Store *s, char **reterr_detail) _must_check_;

/* Makes counter, possibly none, the counter of the store; the one before becomes an orphan. */
void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter);

/* Makes an orphan of a counter that was made in vain, if there is one. If the header cannot be
 * written now, the next commit writes it. */
void store_drop_counter(Store *s, const RollbackCounter *counter);
