/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/scan.h"

bool scan_literal(Scan *s, const char *literal)
{
    size_t n = strlen(literal);

    if ((size_t)(s->end - s->p) < n || memcmp(s->p, literal, n) != 0)
        return false;
    s->p += n;
    return true;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool scan_hex64(Scan *s, uint64_t *ret)
{
    uint64_t value = 0;

    if (s->end - s->p < SCAN_HEX64_LENGTH)
        return false;
    for (int i = 0; i < SCAN_HEX64_LENGTH; i++) {
        int digit = hex_value(s->p[i]);

        if (digit < 0)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    s->p += SCAN_HEX64_LENGTH;
    *ret = value;
    return true;
}

bool scan_number(Scan *s, uint64_t max, uint64_t *ret)
{
    const char *p = s->p;
    uint64_t value = 0;

    for (; p < s->end && *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');

        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (p == s->p || (*s->p == '0' && p - s->p > 1))
        return false;
    s->p = p;
    *ret = value;
    return true;
}

char *scan_write_hex64(char *p, uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *p++ = "0123456789abcdef"[value >> shift & 15];
    return p;
}

char *scan_write_number(char *p, uint64_t value)
{
    char digits[SCAN_NUMBER_LENGTH_MAX];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}
