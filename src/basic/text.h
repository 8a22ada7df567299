/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True for size bytes of valid UTF-8 (RFC 3629); NUL is a valid character. */
bool utf8_is_valid(const char *text, size_t size);

/* True for valid UTF-8 without control characters: safe to print, to log and to put into JSON. */
bool text_is_printable(const char *s);

/* The rest of text after prefix, or NULL if it does not begin with prefix. */
const char *text_after(const char *text, const char *prefix);

/* True for exactly so many lower-case hexadecimal digits. Not for secrets. */
bool text_is_hex(const char *s, size_t length);

/* The value of a hexadecimal digit, or -1. Not for secrets: it branches on the digit. */
int hex_digit(char c);
