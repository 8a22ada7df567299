/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "psk/identity.h"
#include "psk/limits.h"
#include "psk/nqn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copies a part of an identity as a string; false if it contains a NUL, as a digest may. */
static bool copy_part(const char *part, size_t length, char ret[static PSK_IDENTITY_MAX + 1])
{
    if (length > PSK_IDENTITY_MAX)
        abort();
    memcpy(ret, part, length);
    ret[length] = '\0';
    return strlen(ret) == length;
}

/* The parts of an accepted identity are names within their limits, and make the same text. */
static void check_accepted(const char *text, size_t length, const PskIdentity *i)
{
    char host[PSK_IDENTITY_MAX + 1], subsys[PSK_IDENTITY_MAX + 1], digest[PSK_IDENTITY_MAX + 1];
    char again[PSK_IDENTITY_MAX + 1];

    if (i->version > 1 || (i->hash != PSK_HASH_SHA256 && i->hash != PSK_HASH_SHA384) ||
        !nqn_is_usable(i->hostnqn, i->hostnqn_length) ||
        !nqn_is_usable(i->subsysnqn, i->subsysnqn_length) ||
        !copy_part(i->hostnqn, i->hostnqn_length, host) ||
        !copy_part(i->subsysnqn, i->subsysnqn_length, subsys))
        abort();
    if (i->digest && i->version == 0)
        abort();
    if (i->digest && !copy_part(i->digest, i->digest_length, digest))
        return;
    psk_identity_format(i->version, i->hash, host, subsys, i->digest ? digest : NULL, again);
    if (strlen(again) != length || memcmp(again, text, length) != 0)
        abort();
}

/* What a search of the kernel compares is in one piece, and in each valid identity. */
static void check_split(const char *text, size_t length, const PskIdentity *i)
{
    PskSearch s;
    int r = psk_identity_split(text, length, &s);

    if (r != 0 && (r != PSK_E_IDENTITY || i))
        abort();
    if (r != 0)
        return;
    if (s.hostnqn != text + 9 || s.hostnqn_length == 0 || s.word_length == 0 ||
        s.word != s.hostnqn + s.hostnqn_length + 1 || s.word + s.word_length > text + length ||
        memchr(s.hostnqn, ' ', s.hostnqn_length) || memchr(s.word, ' ', s.word_length))
        abort();
    if (i && (s.version != i->version || s.hash != i->hash || s.word != i->subsysnqn ||
              s.word_length != i->subsysnqn_length))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    PskIdentity i;
    int r = psk_identity_parse(text, size, &i);

    check_split(text, size, r == 0 ? &i : NULL);

    if (r == 0)
        check_accepted(text, size, &i);
    else if (r != PSK_E_IDENTITY)
        abort();
    return 0;
}
