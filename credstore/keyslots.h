/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "credstore/header.h"
#include "credstore/seal.h"

/*
 * The slots of a header. Each wraps the store key by a key-encryption key (KEK) of its own, which
 * the type of the slot seals: see slot.h.
 */

/* Wraps key by kek and adds it to slot, which has its type and id. Returns -EINVAL, -ENOMEM, -EIO.
 */
int keyslots_wrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                  const Secret *key) _must_check_;

/* Appends a slot of each type that can seal here to slots, after trying that it unseals again; each
 * alone opens the store. *ret_type is the first of them. Returns -EOPNOTSUPP when no type can, else
 * the error of the last that failed; then *reterr_detail tells of each. */
int keyslots_enrol(Sealer *s, const char *store_id, const Secret *key, json_object *slots,
                   const char **ret_type, char **reterr_detail) _must_check_;

/* Unwraps the store key with the first slot that can; the header need not be authentic yet.
 * Returns -EKEYREJECTED when none can, -ETIMEDOUT when one might have but for its deadline,
 * -ENOMEM; *reterr_detail tells of each. */
int keyslots_unlock(Sealer *s, const Header *header, Secret **ret_key, const char **ret_type,
                    char **reterr_detail) _must_check_;
