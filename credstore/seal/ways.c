/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "credstore/seal/ways.h"

#define CREDS "systemd-creds"
#define SPACE " \t"

/* The names in "withKey". The last one stands for every key that this version does not know. */
static const char *const creds_keys[] = {
    "host", "tpm2",    "tpm2-with-public-key", "host+tpm2", "host+tpm2-with-public-key",
    "null", "unknown",
};

static bool is_word(const char *word, size_t length, const char *text)
{
    return strlen(text) == length && memcmp(word, text, length) == 0;
}

static unsigned find_creds_key(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(creds_keys); i++)
        if (is_word(name, length, creds_keys[i]))
            return WAY_CREDS_KEY << i;
    return 0;
}

unsigned way_of_creds_key(const char *name)
{
    unsigned way = find_creds_key(name, strlen(name));

    return way ? way : WAY_CREDS_KEY << (ARRAY_SIZE(creds_keys) - 1);
}

static unsigned parse_way(const char *word, size_t length)
{
    size_t prefix = strlen(CREDS ":");

    if (is_word(word, length, "tpm2"))
        return WAY_TPM2;
    if (is_word(word, length, "recovery"))
        return WAY_RECOVERY;
    if (is_word(word, length, CREDS))
        return WAYS_ALL & ~(WAY_TPM2 | WAY_RECOVERY);
    if (is_word(word, length, CREDS ":given"))
        return WAY_CREDS_GIVEN;
    if (length <= prefix || memcmp(word, CREDS ":", prefix) != 0)
        return 0;
    return find_creds_key(word + prefix, length - prefix);
}

int ways_parse(const char *list, unsigned *ret)
{
    unsigned ways = 0;

    for (const char *word = list + strspn(list, SPACE); *word; word += strspn(word, SPACE)) {
        size_t length = strcspn(word, SPACE);
        unsigned way = parse_way(word, length);

        if (way == 0)
            return -EINVAL;
        ways |= way;
        word += length;
    }
    if (ways == 0)
        return -EINVAL;
    *ret = ways;
    return 0;
}
