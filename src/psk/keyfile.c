/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "psk/interchange.h"
#include "psk/keyfile.h"
#include "psk/limits.h"
#include "psk/nqn.h"

#define DHCHAP_PREFIX "DHHC-1:"
#define KEY_PREFIX "NVMeTLSkey-"
/* Position of the format's version digit. */
#define KEY_VERSION_AT (sizeof(KEY_PREFIX) - 1)
#define UTF8_MARK "\xef\xbb\xbf"
/* An identity of version 1 and a key. */
#define WORDS_MAX 5

typedef struct Word {
    const char *text;
    size_t length;
} Word;

/* The words of a line; n is WORDS_MAX + 1 if there are more. */
typedef struct Words {
    Word word[WORDS_MAX + 1];
    size_t n;
} Words;

static bool begins_with(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);

    return length >= n && memcmp(text, prefix, n) == 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void split(const char *text, size_t length, Words *ret)
{
    size_t i = 0;

    for (ret->n = 0; ret->n <= WORDS_MAX; ret->n++) {
        Word *w = &ret->word[ret->n];

        while (i < length && is_space(text[i]))
            i++;
        if (i == length)
            return;
        w->text = text + i;
        while (i < length && !is_space(text[i]))
            i++;
        w->length = (size_t)(text + i - w->text);
    }
}

/* Copies the names before the key, with one blank between two. Returns false if they do not fit. */
static bool join_names(const Words *w, char ret[static PSK_IDENTITY_MAX + 1], size_t *ret_length)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < w->n; i++) {
        if (n + w->word[i].length + 1 > PSK_IDENTITY_MAX)
            return false;
        if (i > 0)
            ret[n++] = ' ';
        memcpy(ret + n, w->word[i].text, w->word[i].length);
        n += w->word[i].length;
    }
    ret[n] = '\0';
    *ret_length = n;
    return true;
}

/* Of a name that was checked. */
static void copy_name(const char *name, size_t length, char ret[static NQN_LENGTH_MAX + 1])
{
    memcpy(ret, name, length);
    ret[length] = '\0';
}

int keyfile_parse_derived_psk(const char *text, size_t length, PskHash *ret_hash, Secret **ret)
{
    char copy[PSK_INTERCHANGE_MAX];
    CLEANUP_ERASE(copy);

    if (length > sizeof(copy) || !begins_with(text, length, KEY_PREFIX "0:"))
        return psk_interchange_parse(text, length, ret_hash, ret);
    /* Some nvme-cli write the version of the identity as the version of the format. */
    memcpy(copy, text, length);
    copy[KEY_VERSION_AT] = '1';
    return psk_interchange_parse(copy, length, ret_hash, ret);
}

static int parse_derived(const Words *w, KeyfileLine *ret)
{
    const Word *key = &w->word[w->n - 1];
    KeyfileLine l = {.kind = KEYFILE_DERIVED};
    PskIdentity i;
    size_t length;
    int r;

    if (w->n > WORDS_MAX || !join_names(w, l.identity, &length))
        return PSK_E_IDENTITY;
    r = keyfile_parse_derived_psk(key->text, key->length, &l.hash, &l.psk);
    if (r != 0)
        return r;
    r = psk_identity_parse_key(l.identity, length, l.psk->size, &i);
    if (r != 0) {
        keyfile_line_done(&l);
        return r;
    }
    copy_name(i.hostnqn, i.hostnqn_length, l.hostnqn);
    copy_name(i.subsysnqn, i.subsysnqn_length, l.subsysnqn);
    *ret = l;
    return 0;
}

static int parse_configured(const Words *w, KeyfileLine *ret)
{
    const Word *host = &w->word[0], *subsys = &w->word[1], *key = &w->word[2];
    KeyfileLine l = {.kind = KEYFILE_CONFIGURED};
    int r;

    if (w->n != 3)
        return PSK_E_LINE;
    if (!nqn_is_usable(host->text, host->length) || !nqn_is_usable(subsys->text, subsys->length))
        return PSK_E_NQN;
    r = psk_interchange_parse(key->text, key->length, &l.hash, &l.psk);
    if (r != 0)
        return r;
    copy_name(host->text, host->length, l.hostnqn);
    copy_name(subsys->text, subsys->length, l.subsysnqn);
    *ret = l;
    return 0;
}

static bool is_generated(const Word *first)
{
    return first->length > 5 && begins_with(first->text, first->length, "NVMe") &&
           first->text[5] == 'G';
}

int keyfile_line_parse(const char *text, size_t length, KeyfileLine *ret)
{
    const Word *first;
    Words w;

    if (begins_with(text, length, UTF8_MARK)) {
        text += strlen(UTF8_MARK);
        length -= strlen(UTF8_MARK);
    }
    if (psk_has_byte_order_mark(text, length))
        return PSK_E_MARK;
    split(text, length, &w);
    first = &w.word[0];
    if (w.n == 0 || first->text[0] == '#') {
        *ret = (KeyfileLine){.kind = KEYFILE_NOTHING};
        return 0;
    }
    if (w.n < 2)
        return PSK_E_LINE;
    if (begins_with(w.word[w.n - 1].text, w.word[w.n - 1].length, DHCHAP_PREFIX)) {
        *ret = (KeyfileLine){.kind = KEYFILE_DHCHAP};
        return 0;
    }
    if (is_generated(first)) {
        *ret = (KeyfileLine){.kind = KEYFILE_GENERATED};
        return 0;
    }
    return begins_with(first->text, first->length, "NVMe") ? parse_derived(&w, ret)
                                                           : parse_configured(&w, ret);
}
