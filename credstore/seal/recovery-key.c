/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "credstore/seal/limits.h"
#include "credstore/seal/recovery-key.h"

#define DATA_PER_GROUP (RECOVERY_KEY_GROUP_LENGTH - 1)
#define CHARACTERS (RECOVERY_KEY_GROUPS * RECOVERY_KEY_GROUP_LENGTH)
#define BITS_PER_CHARACTER 5
#define VALUE_MASK 31u

_Static_assert(RECOVERY_KEY_GROUPS *DATA_PER_GROUP *BITS_PER_CHARACTER ==
                   STORE_KEY_SIZE * CHAR_BIT + 4,
               "the groups hold a key and four bits");

/* The index of a digit is its value. */
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Returns 0xff if a and b, both below 256, are equal, else 0. */
static unsigned equal(unsigned a, unsigned b)
{
    return (((a ^ b) - 1) >> 8) & 0xff;
}

/* Reads every digit, so the time does not depend on value. */
static char value_to_digit(unsigned value)
{
    unsigned c = 0;

    for (unsigned i = 0; i <= VALUE_MASK; i++)
        c |= equal(value, i) & (unsigned char)digits[i];
    return (char)c;
}

/* Returns the value of a digit in the low bits; 0x80 is set for another character. */
static unsigned digit_to_value(unsigned char character)
{
    /* Clears bit 5 of characters with bit 6, so small letters become capitals. Other characters
     * that change are no digits either way. */
    unsigned c = character & ~(character >> 1 & 0x20u), value, found;

    found = equal(c, 'O') | equal(c, 'I') | equal(c, 'L');
    value = (equal(c, 'I') | equal(c, 'L')) & 1;
    for (unsigned i = 0; i <= VALUE_MASK; i++) {
        unsigned here = equal(c, (unsigned char)digits[i]);

        found |= here;
        value |= here & i;
    }
    return value | (~found & 0x80);
}

static bool is_separator(char c)
{
    return c == '-' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Multiplies by x in GF(32), modulo x^5 + x^2 + 1. */
static unsigned multiply(unsigned v)
{
    return ((v << 1) ^ (0x25 & -(v >> 4 & 1))) & VALUE_MASK;
}

/* Different powers of x detect swapped neighbours, and the number of the group detects swapped
 * groups. */
static unsigned compute_check(const uint8_t data[static DATA_PER_GROUP], unsigned group)
{
    unsigned sum = 0;

    for (size_t i = DATA_PER_GROUP; i > 0; i--)
        sum = multiply(sum ^ data[i - 1]);
    return sum ^ group;
}

/* Returns the nth five bits of the key, from the upper bits of the first byte on; bits past the end
 * are zero. */
static uint8_t take_bits(const uint8_t *key, size_t n)
{
    size_t byte = n * BITS_PER_CHARACTER / CHAR_BIT, bit = n * BITS_PER_CHARACTER % CHAR_BIT;
    unsigned window = (unsigned)key[byte] << CHAR_BIT;

    if (byte + 1 < STORE_KEY_SIZE)
        window |= key[byte + 1];
    return (window >> (2 * CHAR_BIT - BITS_PER_CHARACTER - bit)) & VALUE_MASK;
}

int recovery_key_format(const Secret *key, Secret **ret_text)
{
    uint8_t data[DATA_PER_GROUP];
    CLEANUP_ERASE(data);
    Secret *text;
    uint8_t *p;

    if (key->size != STORE_KEY_SIZE)
        return -EINVAL;
    text = secret_new(RECOVERY_KEY_LENGTH + 1);
    if (!text)
        return -ENOMEM;

    p = text->data;
    for (unsigned group = 0; group < RECOVERY_KEY_GROUPS; group++) {
        if (group > 0)
            *p++ = '-';
        for (size_t i = 0; i < DATA_PER_GROUP; i++) {
            data[i] = take_bits(key->data, group * DATA_PER_GROUP + i);
            *p++ = (uint8_t)value_to_digit(data[i]);
        }
        *p++ = (uint8_t)value_to_digit(compute_check(data, group));
    }
    *p = '\0';
    *ret_text = text;
    return 0;
}

/* Reads exactly CHARACTERS digits between separators. */
static int read_values(const char *text, size_t size, uint8_t ret[static CHARACTERS])
{
    unsigned bad = 0;
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        if (is_separator(text[i]))
            continue;
        if (n == CHARACTERS)
            return -EINVAL;
        ret[n] = (uint8_t)digit_to_value((unsigned char)text[i]);
        bad |= ret[n++];
    }
    return n < CHARACTERS || (bad & 0x80) ? -EINVAL : 0;
}

/* Packs the data of all groups; returns the bits past the key. */
static unsigned pack(const uint8_t values[static CHARACTERS], uint8_t ret[static STORE_KEY_SIZE])
{
    unsigned window = 0, bits = 0;

    for (size_t i = 0; i < CHARACTERS; i++) {
        if (i % RECOVERY_KEY_GROUP_LENGTH == DATA_PER_GROUP)
            continue;
        window = (window << BITS_PER_CHARACTER | values[i]) & 0xfff;
        bits += BITS_PER_CHARACTER;
        if (bits >= CHAR_BIT) {
            bits -= CHAR_BIT;
            *ret++ = (uint8_t)(window >> bits);
        }
    }
    return window & ((1u << bits) - 1);
}

int recovery_key_parse(const char *text, size_t size, Secret **ret_key, unsigned *reterr_group)
{
    _cleanup_(secret_freep) Secret *key = secret_new(STORE_KEY_SIZE);
    uint8_t values[CHARACTERS];
    CLEANUP_ERASE(values);
    int r;

    if (!key)
        return -ENOMEM;
    r = read_values(text, size, values);
    if (r < 0)
        return r;
    for (unsigned group = 0; group < RECOVERY_KEY_GROUPS; group++) {
        const uint8_t *data = values + group * RECOVERY_KEY_GROUP_LENGTH;

        if (compute_check(data, group) != data[DATA_PER_GROUP]) {
            *reterr_group = group + 1;
            return -EBADMSG;
        }
    }
    if (pack(values, key->data) != 0) {
        *reterr_group = RECOVERY_KEY_GROUPS;
        return -EBADMSG;
    }

    *ret_key = TAKE_PTR(key);
    return 0;
}
