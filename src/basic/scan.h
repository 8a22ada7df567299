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

/* The reverse; they write no terminator, and return the end of what they have written. */
#define SCAN_HEX64_LENGTH 16
#define SCAN_NUMBER_LENGTH_MAX 20
char *scan_write_hex64(char *p, uint64_t value);
char *scan_write_number(char *p, uint64_t value);
