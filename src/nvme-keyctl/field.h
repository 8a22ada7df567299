/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* Members of replies, and lines "LABEL: value" for them. A line with the label "" continues the one
 * before it. A member that is missing prints nothing. */

/* Reads a member that is a time, in local time. Returns false if there is none. */
bool field_time(json_object *o, const char *member, struct tm *ret);
/* Writes the next step of a key, "revoke 2026-12-01 10:00". Returns false if it has none. */
bool field_step(json_object *key, char *ret, size_t size);

void field_print(const char *label, const char *value);
void field_print_member(json_object *o, const char *label, const char *member);
void field_print_time(json_object *o, const char *label, const char *member);
/* Each line of a text, without a label. */
void field_print_lines(json_object *o, const char *member);
