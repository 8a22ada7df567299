/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/helper.h"
#include "credstore/transaction.h"

/* The rollback counter of a store; see store.h. */

/* Packs a request for work on a counter; key: the store key, from which its password comes. */
int store_counter_request(const Store *s, const Secret *key, SealWork work,
                          const RollbackCounter *counter, Secret **ret) _must_check_;

/* Compares what was read with the header, which is authentic by now. Returns 0, or -ESTALE. */
int store_counter_compare(const Store *s, char **reterr_detail) _must_check_;

/* Makes counter, which may be none, the one of the store. The one before is an orphan then. */
void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter);

/* Makes an orphan of a counter that was made for nothing, if there is one. Where that cannot be
 * written now, the next commit does. */
void store_drop_counter(Store *s, const RollbackCounter *counter);
