/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/store-private.h"

/* Notes that a slot opens the store. Returns -ENOMEM. */
int slots_prove(Store *s, const char *id) _must_check_;

/* The storage root keys that the store has been sealed below. */
void slots_known_tpms(const Store *s, Tpm2Names *ret);

/* How a sealed slot leaves the process that made it: as JSON text. None of it is secret; it is one
 * so that all results of that process are. */

/* Returns -ENOMEM. */
int slots_pack(json_object *slot, Secret **ret) _must_check_;

/* Returns -EBADMSG or -ENOMEM. */
int slots_unpack(const Secret *packed, json_object **ret) _must_check_;
