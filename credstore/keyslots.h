/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "credstore/aead.h"
#include "credstore/header.h"
#include "credstore/seal/seal-type.h"
#include "credstore/store.h"

/*
 * The slots of a header. Each wraps the store key by a key-encryption key (KEK) of its own, which
 * the type of the slot seals: see slot.h.
 */

/* Wraps key by kek and adds it to slot, which has its type and id. Returns -EINVAL, -ENOMEM, -EIO.
 */
int keyslots_wrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                  const Secret *key) _must_check_;

/* The slot of that id, borrowed; NULL where there is none. */
json_object *keyslots_find(json_object *slots, const char *id);

/* Makes a slot of a type, with an id, and a KEK that is to be sealed for it. id: that of the slot
 * whose place it is to take, or NULL for a new one. Returns -EINVAL (no such type), -ENOMEM, -EIO.
 */
int keyslots_new(const char *type, const char *id, json_object **ret_slot, Secret **ret_kek,
                 char **reterr_detail) _must_check_;

/* Whether a slot is of a type of this build. */
bool keyslots_knows(json_object *slot);

/* The nth type that a store gets a slot of by itself; NULL past the last. */
const SlotType *keyslots_automatic_type(size_t n);

/* The nth slot in the order in which they are to be tried, borrowed; NULL past the last. */
json_object *keyslots_nth(json_object *slots, size_t n);

/* Unwraps the store key with the KEK of a slot; the header it is of need not be authentic yet.
 * Returns -EKEYREJECTED, -EBADMSG, -ENOMEM. */
int keyslots_unwrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                    Secret **ret_key, char ret_id[static SLOT_ID_SIZE]) _must_check_;

/* Unwraps the store key by a KEK with the first slot of a type that it is for. Returns
 * -EKEYREJECTED, -ENOENT when there is no slot of that type, or -ENOMEM. */
int keyslots_unlock_with(Sealer *s, const Header *header, const char *type, const Secret *kek,
                         Secret **ret_key, char ret_id[static SLOT_ID_SIZE]) _must_check_;
