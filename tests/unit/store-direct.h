/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store.h"

/*
 * The steps of store.h one after the other in this process, which waits for the work of each slot.
 * The daemon takes the same steps, with a job for the work. Errors and details are those of the
 * step that fails.
 */

/* Opens a store by the first slot that can, and makes one with a slot of each type that works. */
int direct_open(const char *dir, Store **ret, char **reterr_detail) _must_check_;
int direct_create(const char *dir, Store **ret, char **reterr_detail) _must_check_;

/* Gets the store key by the nth slot in the order of trying. */
int direct_find_key(const Store *s, size_t nth, Secret **ret, char **reterr_detail) _must_check_;

/* Seals the store key by a new slot, or by one in the place of the slot id. *ret_recovery_key is
 * set for type "recovery", else NULL. */
int direct_seal_slot(Store *s, const char *type, const char *id, const SlotOptions *options,
                     Secret **ret, Secret **ret_recovery_key, char **reterr_detail) _must_check_;

/* Has the TPM count up to the header, and removes an orphan from it. */
int direct_count(Store *s) _must_check_;
int direct_remove_orphan(Store *s) _must_check_;
