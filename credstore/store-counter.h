/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/transaction.h"

/* The rollback counter of a store; see store.h. */

/* Reads the counter of a header whose store key is known. *ret_checked is false when it has none.
 */
int store_counter_read(const Store *s, const Secret *key, bool *ret_checked, uint64_t *ret_value,
                       char **reterr_detail) _must_check_;

/* Compares what was read with the header, which is authentic by now. Returns 0, or -ESTALE. */
int store_counter_compare(const Store *s, char **reterr_detail) _must_check_;

/* Makes a counter in the TPM of that storage root key, in place of one that could not be read.
 * Returns -EEXIST when there is one that works, or an error of tpm2_counter_create(). */
int store_counter_make(const Store *s, const Tpm2Name *srk_name, RollbackCounter *ret,
                       char **reterr_detail) _must_check_;

/* Makes counter, which may be none, the one of the store. The one before is an orphan then. */
void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter);

/* Makes an orphan of a counter that was made for nothing, if there is one. Where that cannot be
 * written now, the next commit does. */
void store_drop_counter(Store *s, const RollbackCounter *counter);
