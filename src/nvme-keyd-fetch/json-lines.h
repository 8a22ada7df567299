/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"

/* Cuts a stream of bytes into lines. A line is JSON, so it has no newline inside. */
typedef struct JsonLines {
    char *data; /* the beginning of a line */
    size_t size, capacity;
    size_t max; /* bytes of a line; a longer one is refused */
} JsonLines;

/* Called for each line that is not empty, without its newline. A negative result ends the feed. */
typedef int (*JsonLineFn)(const char *line, size_t size, void *userdata);

/* Takes bytes of the stream. Returns 0, the error of fn, -EFBIG for a line of more than max bytes,
 * or -ENOMEM. Never holds more than max bytes. */
int json_lines_feed(JsonLines *l, const char *data, size_t size, JsonLineFn fn, void *userdata)
    _must_check_;

/* True in the middle of a line. */
bool json_lines_is_inside(const JsonLines *l);

/* Frees and forgets what is there; max stays. */
void json_lines_reset(JsonLines *l);
