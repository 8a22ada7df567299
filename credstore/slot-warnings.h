/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "basic/macro.h"

/*
 * Warnings about slots that protect less than they seem to, one line for people each. slots is an
 * array from store_slots(); *ret is an array of strings, to be put.
 */

/* Warns about all slots. Returns -ENOMEM. */
int slot_warnings(json_object *slots, json_object **ret) _must_check_;

/* Warns about one slot and those that weaken it. is_new is false for a resealed slot. Returns
 * -ENOENT, -ENOMEM. */
int slot_warnings_of(json_object *slots, const char *id, bool is_new, json_object **ret)
    _must_check_;
