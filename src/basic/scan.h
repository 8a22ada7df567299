/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads text that has one canonical form, piece by piece. Each call moves past what it has read, or
 * returns false and stays where it was. */
typedef struct Scan {
    const char *p;
    const char *end;
} Scan;

/* Exactly this text. */
bool scan_literal(Scan *s, const char *literal);

/* 16 lower-case hex digits. */
bool scan_hex64(Scan *s, uint64_t *ret);

/* A decimal number from 0 to max, without leading zeros. */
bool scan_number(Scan *s, uint64_t max, uint64_t *ret);

/* A JSON string in quotes, of valid UTF-8 without U+0000. Only `"`, `\` and control characters are
 * escaped, as RFC 8785 does it: `\b`, `\t`, `\n`, `\f`, `\r`, else `\u00` and two lower-case
 * digits. ret gets the text and a NUL; one that does not fit into capacity is refused. */
bool scan_string(Scan *s, char *ret, size_t capacity);

/* Write the same forms, without a terminator. Return the end of the written text. */
#define SCAN_HEX64_LENGTH 16
#define SCAN_NUMBER_LENGTH_MAX 20
char *scan_write_hex64(char *p, uint64_t value);
char *scan_write_number(char *p, uint64_t value);
/* A string of n bytes takes up to SCAN_STRING_LENGTH_MAX(n). */
#define SCAN_STRING_LENGTH_MAX(n) (6 * (n) + 2)
char *scan_write_string(char *p, const char *text);
