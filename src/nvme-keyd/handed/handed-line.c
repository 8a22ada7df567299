/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "nvme-keyd/handed/handed-line.h"
#include "psk/nqn.h"

/* The longest value is "rfc8446". */
#define VALUE_MAX 15

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool begins_with(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);

    return length >= n && memcmp(text, prefix, n) == 0;
}

static int versions_from_string(const char *s, unsigned *ret)
{
    if (strcmp(s, "0") == 0)
        *ret = KEY_VERSION_BIT(0);
    else if (strcmp(s, "1") == 0)
        *ret = KEY_VERSION_BIT(1);
    else if (strcmp(s, "0,1") == 0)
        *ret = KEY_VERSION_BIT(0) | KEY_VERSION_BIT(1);
    else
        return -EINVAL;
    return 0;
}

/* *ret_configured is set for an option that only configured PSKs have. */
static int set_option(HandedLine *l, const char *name, size_t n, const char *value,
                      bool *ret_configured)
{
    if (n == strlen("role") && memcmp(name, "role", n) == 0)
        return key_role_from_string(value, &l->role);
    *ret_configured = true;
    if (n == strlen("identity-version") && memcmp(name, "identity-version", n) == 0)
        return versions_from_string(value, &l->versions);
    if (n == strlen("derivation") && memcmp(name, "derivation", n) == 0)
        return psk_derivation_from_string(value, &l->derivation);
    return -EINVAL;
}

/* Returns 1 for an option, 0 for any other word, or HANDED_E_OPTION. */
static int parse_option(HandedLine *l, const char *word, size_t length, bool *ret_configured)
{
    const char *equals = memchr(word, '=', length);
    char value[VALUE_MAX + 1] = "";
    size_t n;

    if (!equals || word[0] < 'a' || word[0] > 'z' || begins_with(word, length, "nqn."))
        return 0;
    n = length - (size_t)(equals + 1 - word);
    if (n >= sizeof(value))
        return HANDED_E_OPTION;
    memcpy(value, equals + 1, n);
    return set_option(l, word, (size_t)(equals - word), value, ret_configured) < 0 ? HANDED_E_OPTION
                                                                                   : 1;
}

/* SUBSYSNQN KEY. */
static int parse_own(const char *text, const char *blank, size_t length, KeyfileLine *ret)
{
    size_t n = (size_t)(blank - text), position;
    int r;

    if (nqn_check(text, n, &position) != NQN_OK)
        return PSK_E_NQN;
    *ret = (KeyfileLine){.kind = KEYFILE_CONFIGURED};
    memcpy(ret->subsysnqn, text, n);
    r = psk_interchange_parse(blank + 1, length - n - 1, &ret->hash, &ret->psk);
    if (r != 0)
        *ret = (KeyfileLine){.kind = KEYFILE_NOTHING};
    return r;
}

/* Parses the part after the options, without blanks around it. */
static int parse_key(const char *text, size_t length, KeyfileLine *ret)
{
    const char *blank = memchr(text, ' ', length);

    if (blank && begins_with(text, length, "nqn.") && blank == memrchr(text, ' ', length))
        return parse_own(text, blank, length, ret);
    return keyfile_line_parse(text, length, ret);
}

int handed_line_parse(const char *text, size_t length, HandedLine *ret)
{
    _cleanup_(handed_line_done) HandedLine l = {.role = KEY_ROLE_HOST};
    const char *end = text + length;
    bool any = false, configured = false;
    int r;

    for (;;) {
        const char *word_end;

        while (text < end && is_space(*text))
            text++;
        for (word_end = text; word_end < end && !is_space(*word_end); word_end++)
            ;
        r = text < end ? parse_option(&l, text, (size_t)(word_end - text), &configured) : 0;
        if (r > 1)
            return r;
        if (r == 0)
            break;
        any = true;
        text = word_end;
    }
    while (end > text && is_space(end[-1]))
        end--;
    r = parse_key(text, (size_t)(end - text), &l.key);
    if (r != 0)
        return r;
    if (any && l.key.kind == KEYFILE_NOTHING)
        return PSK_E_LINE;
    if (configured && l.key.kind != KEYFILE_CONFIGURED)
        return HANDED_E_OPTION;

    *ret = l;
    l.key.psk = NULL;
    return 0;
}

const char *handed_line_error_text(int error)
{
    if (error == HANDED_E_OPTION)
        return "options are role=host|target|both, and for a configured PSK "
               "identity-version=0|1|0,1 and derivation=rfc8446|compat|lastfrag";
    return psk_error_text(error);
}
