/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Typed access to JSON from outside, on json-c. */

static inline void json_putp(json_object **o)
{
    json_object_put(*o);
}

static inline void json_tokener_freep(json_tokener **t)
{
    if (*t)
        json_tokener_free(*t);
}

/* Parses exactly size bytes as one JSON object in valid UTF-8, nested at most depth deep, with
 * nothing after it. Returns -EBADMSG for anything else, -ENOMEM. The caller puts the result. */
int json_parse(const char *text, size_t size, int depth, json_object **ret) _must_check_;

/* The getters return 1 and set *ret when object has the member with the right type (and range, and
 * for strings no embedded NUL), 0 when it is absent or null, -EINVAL otherwise. Strings and objects
 * are borrowed: they live as long as object. */
int json_get_string(json_object *object, const char *key, const char **ret);
int json_get_uint(json_object *object, const char *key, uint64_t max, uint64_t *ret);
int json_get_bool(json_object *object, const char *key, bool *ret);
int json_get_object(json_object *object, const char *key, json_object **ret);
int json_get_array(json_object *object, const char *key, json_object **ret);

/* Copies a string that fits into size bytes with its NUL. Not for secrets. Returns false for any
 * other, and for one that is missing. */
bool json_copy_string(json_object *object, const char *key, char *ret, size_t size);

/* Like json_get_string(), but returns the string, or otherwise if there is none. */
const char *json_string_or(json_object *object, const char *key, const char *otherwise);

/* Overwrites the text of a string object. Call it before putting one that holds a secret. */
void json_string_erase(json_object *string);

/* Formats an object in one line, to be freed, and reads it back, because json-c leaves text out
 * when it has no memory. Returns -ENOMEM. */
int json_format(json_object *object, char **ret) _must_check_;

/* Adds a member. Returns 0 or -ENOMEM only, so callers may join several calls by "|". */
int json_add_string(json_object *object, const char *key, const char *value) _must_check_;
int json_add_uint(json_object *object, const char *key, uint64_t value) _must_check_;
int json_add_bool(json_object *object, const char *key, bool value) _must_check_;
/* Takes ownership of value in every case, and erases a string that it cannot add; NULL counts as
 * -ENOMEM. An object that holds a secret is not erased: add it with json-c itself. */
int json_add_take(json_object *object, const char *key, json_object *value) _must_check_;
int json_append_take(json_object *array, json_object *value) _must_check_;
