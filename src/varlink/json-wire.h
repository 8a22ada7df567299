/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "basic/macro.h"
#include "varlink/frame.h"

/*
 * JSON that may hold secrets, in and out without the copies that json-c leaves on the heap: its
 * parser and its printer collect text in blocks that grow by realloc(), and the small ones stay
 * readable in the C library's free lists.
 */

/* Parses exactly size bytes as one JSON object, nested at most VARLINK_JSON_DEPTH_MAX deep. The
 * caller puts the result, after varlink_json_erase() where it may hold a secret.
 * Returns -EBADMSG, -ENOMEM. */
int varlink_json_parse(const char *data, size_t size, json_object **ret) _must_check_;

/* Overwrites all string values of o, at any depth; accepts NULL. For objects nobody else uses. */
void varlink_json_erase(json_object *o);

/* Erases and puts; accepts NULL. */
void varlink_json_erase_put(json_object *o);
DEFINE_CLEANUP(json_object, varlink_json_erase_put)

/* Prints o (NULL is null) to the end of b. Strings must be UTF-8.
 * Returns -EINVAL for a number that is not finite, -ENOBUFS, -ENOMEM; a part may have been queued
 * then. */
int varlink_json_append(VarlinkBuffer *b, json_object *o) _must_check_;
int varlink_json_append_string(VarlinkBuffer *b, const char *s, size_t length) _must_check_;
