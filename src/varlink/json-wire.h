/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "basic/macro.h"
#include "varlink/frame.h"

/*
 * Parses and prints JSON that may hold secrets, without the copies that json-c leaves on the heap:
 * its parser and its printer collect text in blocks that grow by realloc(), and small ones stay
 * readable in the free lists of the C library.
 */

/* Parses exactly size bytes as one JSON object, nested at most VARLINK_JSON_DEPTH_MAX deep and with
 * at most VARLINK_JSON_VALUES_MAX values. The caller puts the result, with varlink_json_erase_put()
 * if it may hold a secret. Returns -EBADMSG, -ENOMEM. */
int varlink_json_parse(const char *data, size_t size, json_object **ret) _must_check_;

/* Overwrites all string values of o, at any depth; accepts NULL. No other reference may exist. */
void varlink_json_erase(json_object *o);

/* Erases and puts; accepts NULL. */
void varlink_json_erase_put(json_object *o);
DEFINE_CLEANUP(json_object, varlink_json_erase_put)

/* Appends the text of o (NULL is null) to b. Strings must be UTF-8. Returns -EINVAL for a number
 * that is not finite, -ENOBUFS, -ENOMEM; a part may be queued then. */
int varlink_json_append(VarlinkBuffer *b, json_object *o) _must_check_;
/* Same, in many lines for people, indented. */
int varlink_json_append_pretty(VarlinkBuffer *b, json_object *o) _must_check_;
int varlink_json_append_string(VarlinkBuffer *b, const char *s, size_t length) _must_check_;
