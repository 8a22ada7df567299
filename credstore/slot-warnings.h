/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "basic/macro.h"

/*
 * What the slots of a store do not promise, although somebody may think so: a line for people each.
 * slots is an array as store_slots() has it, *ret an array of strings, to be put.
 */

/* Of all slots. Returns -ENOMEM. */
int slot_warnings(json_object *slots, json_object **ret) _must_check_;

/* What one of them brings: about itself, and about those that make it worth less. is_new is false
 * for one that was there before in another form. Returns -ENOENT, -ENOMEM. */
int slot_warnings_of(json_object *slots, const char *id, bool is_new, json_object **ret)
    _must_check_;
