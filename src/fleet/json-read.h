/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "psk/limits.h"

/* Reads members of JSON from a place. All but the first return false for what is missing, too long,
 * or of another form. */

#define FLEET_FORMAT_VERSION 1

/* Parses an object with this format and our version. Returns -EBADMSG, -ENOMEM. */
int fleet_json_open(const char *text, size_t size, const char *format, json_object **ret)
    _must_check_;

/* Printable text of at most size - 1 bytes. */
bool fleet_json_text(json_object *o, const char *member, char *ret, size_t size);
/* Exactly size - 1 lower-case hexadecimal digits. */
bool fleet_json_hex(json_object *o, const char *member, char *ret, size_t size);
bool fleet_json_nqn(json_object *o, const char *member, char ret[static NQN_LENGTH_MAX + 1]);
