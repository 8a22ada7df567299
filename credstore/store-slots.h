/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store-private.h"

/* Records that a slot is known to open the store. Returns -ENOMEM. */
int slots_prove(Store *s, const char *id) _must_check_;

/* Lists the storage root keys below which the store has been sealed. */
void slots_known_tpms(const Store *s, Tpm2Names *ret);

/* The JSON text as which a sealed slot leaves the process that made it. It is no secret, but is
 * passed as a Secret like all results of that process. */

/* Packs a slot. Returns -ENOMEM. */
int slots_pack(json_object *slot, Secret **ret) _must_check_;

/* Unpacks a slot. Returns -EBADMSG or -ENOMEM. */
int slots_unpack(const Secret *packed, json_object **ret) _must_check_;
