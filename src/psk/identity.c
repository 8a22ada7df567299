/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "basic/encoding.h"
#include "psk/identity.h"
#include "psk/limits.h"
#include "psk/nqn.h"

#define HEAD_LENGTH (sizeof("NVMe0R01 ") - 1)

void psk_identity_format(unsigned version, PskHash hash, const char *hostnqn, const char *subsysnqn,
                         const char *digest, char ret[static PSK_IDENTITY_MAX + 1])
{
    (void)snprintf(ret, PSK_IDENTITY_MAX + 1, "NVMe%uR%02u %s %s%s%s", version, (unsigned)hash,
                   hostnqn, subsysnqn, digest ? " " : "", digest ? digest : "");
}

bool psk_identity_fits_version_0(const char *hostnqn, const char *subsysnqn)
{
    return HEAD_LENGTH + strlen(hostnqn) + 1 + strlen(subsysnqn) <= PSK_IDENTITY_0_MAX;
}

/* Splits off the part before the next blank; returns NULL after the last part. */
static const char *next_part(const char **p, const char *end, size_t *ret_length)
{
    const char *start = *p, *blank;

    if (!start)
        return NULL;
    blank = memchr(start, ' ', (size_t)(end - start));
    *ret_length = (size_t)((blank ? blank : end) - start);
    *p = blank ? blank + 1 : NULL;
    return start;
}

static int parse_head(const char *text, size_t length, PskIdentity *i)
{
    if (length <= HEAD_LENGTH || memcmp(text, "NVMe", 4) != 0 ||
        (text[4] != '0' && text[4] != '1') || memcmp(text + 5, "R0", 2) != 0 ||
        (text[7] != '1' && text[7] != '2') || text[8] != ' ')
        return PSK_E_IDENTITY;

    i->version = (unsigned)(text[4] - '0');
    i->hash = (PskHash)(text[7] - '0');
    return 0;
}

/* Checks only the form, since the caller compares the digest with ours. */
static bool digest_is_valid(const PskIdentity *i)
{
    return i->version == 1 && i->digest_length == BASE64_LENGTH(psk_hash_size(i->hash));
}

int psk_identity_parse(const char *text, size_t length, PskIdentity *ret)
{
    const char *p, *end = text + length;
    PskIdentity i = {0};

    if (length > PSK_IDENTITY_MAX || parse_head(text, length, &i) != 0)
        return PSK_E_IDENTITY;

    p = text + HEAD_LENGTH;
    i.hostnqn = next_part(&p, end, &i.hostnqn_length);
    i.subsysnqn = next_part(&p, end, &i.subsysnqn_length);
    i.digest = next_part(&p, end, &i.digest_length);
    if (!i.subsysnqn || p || !nqn_is_usable(i.hostnqn, i.hostnqn_length) ||
        !nqn_is_usable(i.subsysnqn, i.subsysnqn_length) || (i.digest && !digest_is_valid(&i)))
        return PSK_E_IDENTITY;

    *ret = i;
    return 0;
}

int psk_identity_split(const char *text, size_t length, PskSearch *ret)
{
    const char *p, *end = text + length;
    PskIdentity i = {0};
    PskSearch s;

    if (parse_head(text, length, &i) != 0)
        return PSK_E_IDENTITY;
    s = (PskSearch){.version = i.version, .hash = i.hash};
    p = text + HEAD_LENGTH;
    s.hostnqn = next_part(&p, end, &s.hostnqn_length);
    s.word = next_part(&p, end, &s.word_length);
    if (!s.word || s.hostnqn_length == 0 || s.word_length == 0)
        return PSK_E_IDENTITY;
    *ret = s;
    return 0;
}

static bool digest_is_base64(const PskIdentity *i)
{
    uint8_t digest[PSK_SIZE_MAX];
    size_t size;

    return i->digest &&
           base64_decode(i->digest, i->digest_length, digest, sizeof(digest), &size) == 0 &&
           size == psk_hash_size(i->hash);
}

int psk_identity_parse_key(const char *text, size_t length, size_t size, PskIdentity *ret)
{
    PskIdentity i;

    if (length > 5 && memcmp(text, "NVMe", 4) == 0 && text[5] == 'G')
        return PSK_E_GENERATED;
    if (psk_identity_parse(text, length, &i) != 0)
        return PSK_E_IDENTITY;
    if (i.version == 1 && !digest_is_base64(&i))
        return PSK_E_DIGEST;
    if (size != psk_hash_size(i.hash))
        return PSK_E_IDENTITY_SIZE;

    *ret = i;
    return 0;
}
