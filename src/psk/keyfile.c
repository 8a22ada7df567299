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

static bool begins_with(const char *text, size_t length, const char *prefix)
{
    size_t n = strlen(prefix);

    return length >= n && memcmp(text, prefix, n) == 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Some nvme-cli write the version of the identity as the version of the format. */
static int parse_derived_psk(const char *text, size_t length, PskHash *ret_hash, Secret **ret)
{
    char copy[PSK_INTERCHANGE_MAX];
    CLEANUP_ERASE(copy);

    if (length > sizeof(copy) || !begins_with(text, length, KEY_PREFIX "0:"))
        return psk_interchange_parse(text, length, ret_hash, ret);
    memcpy(copy, text, length);
    copy[KEY_VERSION_AT] = '1';
    return psk_interchange_parse(copy, length, ret_hash, ret);
}

static int parse_derived(const char *names, size_t length, const char *key, size_t key_length,
                         KeyfileLine *ret)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_DERIVED};
    PskIdentity i;
    int r;

    r = parse_derived_psk(key, key_length, &l.hash, &l.psk);
    if (r == 0)
        r = psk_identity_parse_key(names, length, l.psk->size, &i);
    if (r != 0)
        return r;

    l.identity = names;
    l.identity_length = length;
    l.hostnqn = i.hostnqn;
    l.hostnqn_length = i.hostnqn_length;
    l.subsysnqn = i.subsysnqn;
    l.subsysnqn_length = i.subsysnqn_length;
    *ret = l;
    l.psk = NULL;
    return 0;
}

static int parse_configured(const char *names, size_t length, const char *key, size_t key_length,
                            KeyfileLine *ret)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_CONFIGURED};
    const char *blank = memchr(names, ' ', length);
    size_t position;
    int r;

    if (!blank)
        return PSK_E_LINE;
    l.hostnqn = names;
    l.hostnqn_length = (size_t)(blank - names);
    l.subsysnqn = blank + 1;
    l.subsysnqn_length = length - l.hostnqn_length - 1;
    if (memchr(l.subsysnqn, ' ', l.subsysnqn_length))
        return PSK_E_LINE;
    if (nqn_check(l.hostnqn, l.hostnqn_length, &position) != NQN_OK ||
        nqn_check(l.subsysnqn, l.subsysnqn_length, &position) != NQN_OK)
        return PSK_E_NQN;
    r = psk_interchange_parse(key, key_length, &l.hash, &l.psk);
    if (r != 0)
        return r;

    *ret = l;
    l.psk = NULL;
    return 0;
}

int keyfile_line_parse(const char *text, size_t length, KeyfileLine *ret)
{
    const char *blank, *key;
    size_t names_length;

    while (length > 0 && is_space(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_space(text[length - 1]))
        length--;
    if (length == 0 || text[0] == '#') {
        *ret = (KeyfileLine){.kind = KEYFILE_NOTHING};
        return 0;
    }

    if (psk_has_byte_order_mark(text, length))
        return PSK_E_MARK;
    /* The key is the last word; an identity has blanks itself. */
    blank = memrchr(text, ' ', length);
    if (!blank)
        return PSK_E_LINE;
    key = blank + 1;
    names_length = (size_t)(blank - text);
    length -= names_length + 1;
    if (begins_with(key, length, DHCHAP_PREFIX)) {
        *ret = (KeyfileLine){.kind = KEYFILE_DHCHAP};
        return 0;
    }
    if (begins_with(text, names_length, "NVMe"))
        return parse_derived(text, names_length, key, length, ret);
    return parse_configured(text, names_length, key, length, ret);
}
