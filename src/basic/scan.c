/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/scan.h"
#include "basic/text.h"

/* Characters with a short escape, and its letter. The other control characters have the letter u.
 */
static const char escaped[] = "\"\\\b\t\n\f\r", letters[] = "\"\\btnfr";

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

/* Reads an escape after its backslash. */
static bool scan_escape(Scan *s, char *ret)
{
    const char *letter = s->p < s->end && *s->p != '\0' ? strchr(letters, *s->p) : NULL;
    int high, low;

    if (letter) {
        s->p++;
        *ret = escaped[letter - letters];
        return true;
    }
    if (!scan_literal(s, "u00") || s->end - s->p < 2)
        return false;
    high = hex_value(s->p[0]);
    low = hex_value(s->p[1]);
    if (high < 0 || high > 1 || low < 0 || high + low == 0)
        return false;
    *ret = (char)(high << 4 | low);
    s->p += 2;
    return !strchr(escaped, *ret);
}

bool scan_string(Scan *s, char *ret, size_t capacity)
{
    unsigned char seen = 0;
    Scan t = *s;
    size_t n;

    if (!scan_literal(&t, "\""))
        return false;
    for (n = 0; t.p < t.end && *t.p != '"'; n++) {
        unsigned char c = (unsigned char)*t.p++;

        if (c < ' ' || n + 1 >= capacity)
            return false;
        seen |= c;
        ret[n] = (char)c;
        if (c == '\\' && !scan_escape(&t, &ret[n]))
            return false;
    }
    if (!scan_literal(&t, "\"") || n >= capacity || (seen >= 0x80 && !utf8_is_valid(ret, n)))
        return false;
    ret[n] = '\0';
    *s = t;
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

char *scan_write_string(char *p, const char *text)
{
    *p++ = '"';
    for (; *text; text++) {
        const char *special = strchr(escaped, *text);

        if (special) {
            *p++ = '\\';
            *p++ = letters[special - escaped];
        } else if ((unsigned char)*text < ' ') {
            p = stpcpy(p, "\\u00");
            *p++ = (char)('0' + (*text >> 4));
            *p++ = "0123456789abcdef"[*text & 15];
        } else
            *p++ = *text;
    }
    *p++ = '"';
    return p;
}
