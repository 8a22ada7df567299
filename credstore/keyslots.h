/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>

#include "credstore/aead.h"
#include "credstore/header.h"
#include "credstore/seal/seal-type.h"
#include "credstore/store.h"

/*
 * The slots of a header. Each wraps the store key by a key-encryption key (KEK) of its own, which
 * the type of the slot seals: see seal/seal-type.h.
 */

/* Wraps key by kek and adds the result to slot, which has its type and id. Returns -EINVAL,
 * -ENOMEM, -EIO. */
int keyslots_wrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                  const Secret *key) _must_check_;

/* Returns the slot of an id, borrowed, or NULL. */
json_object *keyslots_find(json_object *slots, const char *id);

/* Makes a slot of a type, with an id, and a KEK for the type to seal. id: the id of the slot to be
 * replaced, or NULL for a new one. comment: a line for people, or NULL. Returns -EINVAL (unknown
 * type), -ENOMEM, -EIO. */
int keyslots_new(const char *type, const char *id, const char *comment, json_object **ret_slot,
                 Secret **ret_kek, char **reterr_detail) _must_check_;

/* True if this build has the type of a slot. */
bool keyslots_knows(json_object *slot);

/* The nth type of which a new store gets a slot; NULL past the last. */
const SlotType *keyslots_automatic_type(size_t n);

/* The nth slot in the order in which slots are tried, borrowed; NULL past the last. */
json_object *keyslots_nth(json_object *slots, size_t n);

/* Unwraps the store key with the KEK of a slot; the header may still be forged. Returns
 * -EKEYREJECTED, -EBADMSG, -ENOMEM. */
int keyslots_unwrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                    Secret **ret_key, char ret_id[static SLOT_ID_SIZE]) _must_check_;

/* Unwraps the store key with the first slot of a type that kek fits. Returns -EKEYREJECTED, -ENOENT
 * if there is no slot of that type, or -ENOMEM. */
int keyslots_unlock_with(Sealer *s, const Header *header, const char *type, const Secret *kek,
                         Secret **ret_key, char ret_id[static SLOT_ID_SIZE]) _must_check_;
