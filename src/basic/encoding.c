/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "basic/encoding.h"

/* 0xff when lo <= c <= hi, else 0; c, lo and hi are below 256. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
    return (((lo - 1 - c) & (c - hi - 1)) >> 8) & 0xff;
}

static char base64_digit(unsigned v)
{
    return (char)((in_range(v, 0, 25) & (v + 'A')) | (in_range(v, 26, 51) & (v - 26 + 'a')) |
                  (in_range(v, 52, 61) & (v - 52 + '0')) | (in_range(v, 62, 62) & '+') |
                  (in_range(v, 63, 63) & '/'));
}

/* Returns the value of a digit in the low bits; 0x80 is set for another character. */
static unsigned base64_value(unsigned char c)
{
    unsigned upper = in_range(c, 'A', 'Z'), lower = in_range(c, 'a', 'z');
    unsigned digit = in_range(c, '0', '9'), plus = in_range(c, '+', '+');
    unsigned slash = in_range(c, '/', '/');

    return (upper & (c - 'A')) | (lower & (c - 'a' + 26u)) | (digit & (c - '0' + 52u)) |
           (plus & 62) | (slash & 63) | (~(upper | lower | digit | plus | slash) & 0x80);
}

void base64_encode(const uint8_t *data, size_t size, char *ret)
{
    for (; size >= 3; size -= 3, data += 3) {
        *ret++ = base64_digit(data[0] >> 2);
        *ret++ = base64_digit((data[0] & 3u) << 4 | data[1] >> 4);
        *ret++ = base64_digit((data[1] & 15u) << 2 | data[2] >> 6);
        *ret++ = base64_digit(data[2] & 63u);
    }
    if (size > 0) {
        unsigned second = size == 2 ? data[1] : 0;

        *ret++ = base64_digit(data[0] >> 2);
        *ret++ = base64_digit((data[0] & 3u) << 4 | second >> 4);
        *ret++ = size == 2 ? base64_digit((second & 15u) << 2) : '=';
        *ret++ = '=';
    }
    *ret = '\0';
}

int base64_decode(const char *text, size_t length, uint8_t *ret, size_t capacity, size_t *ret_size)
{
    size_t pad = 0, size;
    unsigned bad = 0;

    if (length % 4 != 0)
        return -EINVAL;
    if (length > 0)
        pad = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
    size = length / 4 * 3 - pad;
    if (size > capacity)
        return -ENOBUFS;

    for (size_t i = 0, out = 0; i < length; i += 4) {
        uint32_t group = 0;

        for (size_t k = 0; k < 4; k++) {
            unsigned v = i + k >= length - pad ? 0 : base64_value((unsigned char)text[i + k]);

            bad |= v & 0x80;
            group = group << 6 | (v & 63);
        }
        for (size_t k = 0; k < 3; k++, out++) {
            uint8_t byte = (uint8_t)(group >> (16 - 8 * k));

            if (out < size)
                ret[out] = byte;
            else
                bad |= byte;
        }
    }
    if (bad)
        return -EINVAL;

    *ret_size = size;
    return 0;
}

void hex_encode(const uint8_t *data, size_t size, char *ret)
{
    for (size_t i = 0; i < 2 * size; i++) {
        unsigned v = i % 2 == 0 ? data[i / 2] >> 4 : data[i / 2] & 15u;

        *ret++ = (char)((in_range(v, 0, 9) & (v + '0')) | (in_range(v, 10, 15) & (v - 10 + 'a')));
    }
    *ret = '\0';
}

uint32_t crc32_ieee(const uint8_t *data, size_t size)
{
    uint32_t crc = ~(uint32_t)0;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < CHAR_BIT; bit++)
            crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
    }
    return ~crc;
}
