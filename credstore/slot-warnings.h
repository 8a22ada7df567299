/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "basic/macro.h"

/*
 * Warnings of slots that promise less than they seem to, a line for people each. slots is an array
 * as store_slots() returns it, *ret an array of strings, to be put.
 */

/* Warns of all slots. Returns -ENOMEM. */
int slot_warnings(json_object *slots, json_object **ret) _must_check_;

/* Warns of one slot, and of those that weaken it. is_new is false for one that was resealed.
 * Returns -ENOENT, -ENOMEM. */
int slot_warnings_of(json_object *slots, const char *id, bool is_new, json_object **ret)
    _must_check_;
