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

/* Makes counter, possibly none, the counter of the store; the one before becomes an orphan. A
 * planned counter leaves the list of orphans. */
void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter);

/* Plans a counter and lists it as an orphan by a commit, so that it is removed even if the process
 * that makes it is killed. *ret: the request to make it. Returns an error of tpm2_counter_plan() or
 * store_commit(). */
int store_counter_plan(Store *s, const Tpm2Name *srk_name, Secret **ret) _must_check_;
