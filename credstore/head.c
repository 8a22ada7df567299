/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/scan.h"
#include "credstore/head.h"
#include "credstore/limits.h"

#define MAC_LABEL "nvme-keyd header"
#define MAC_START "{\"mac\":\""
#define MAC_LENGTH BASE64_LENGTH(SEAL_MAC_SIZE)
#define MAC_END "\"}\n"
#define MAC_LINE_SIZE (sizeof(MAC_START) - 1 + MAC_LENGTH + sizeof(MAC_END) - 1)

/* Least and greatest length of `"ID":GENERATION,`. */
#define ENTRY_SIZE_MIN (1 + SCAN_HEX64_LENGTH + 2 + 1 + 1)
#define ENTRY_SIZE_MAX (1 + SCAN_HEX64_LENGTH + 2 + SCAN_NUMBER_LENGTH_MAX + 1)

static bool scan_entry(Scan *s, IndexEntry *ret)
{
    return scan_literal(s, "\"") && scan_hex64(s, &ret->id) && scan_literal(s, "\":") &&
           scan_number(s, GENERATION_MAX, &ret->generation) && ret->generation > 0;
}

int index_parse(const char *line, size_t size, IndexEntry **ret, size_t *ret_n)
{
    _cleanup_(freep) IndexEntry *entries = calloc(size / ENTRY_SIZE_MIN + 1, sizeof(*entries));
    Scan s = {line, line + size};
    size_t n = 0;

    if (!entries)
        return -ENOMEM;
    if (!scan_literal(&s, "{"))
        return -EBADMSG;
    for (; !scan_literal(&s, "}"); n++)
        if ((n > 0 && !scan_literal(&s, ",")) || !scan_entry(&s, &entries[n]) ||
            (n > 0 && entries[n].id <= entries[n - 1].id))
            return -EBADMSG;
    if (s.p != s.end)
        return -EBADMSG;
    *ret = TAKE_PTR(entries);
    *ret_n = n;
    return 0;
}

static char *write_index(char *p, const IndexEntry *entries, size_t n)
{
    *p++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            *p++ = ',';
        *p++ = '"';
        p = scan_write_hex64(p, entries[i].id);
        *p++ = '"';
        *p++ = ':';
        p = scan_write_number(p, entries[i].generation);
    }
    *p++ = '}';
    return p;
}

static bool scan_mac(Scan *s, uint8_t ret[static SEAL_MAC_SIZE])
{
    size_t n;

    if (!scan_literal(s, MAC_START) || (size_t)(s->end - s->p) < MAC_LENGTH ||
        base64_decode(s->p, MAC_LENGTH, ret, SEAL_MAC_SIZE, &n) < 0 || n != SEAL_MAC_SIZE)
        return false;
    s->p += MAC_LENGTH;
    return scan_literal(s, MAC_END);
}

int head_split(const char *text, size_t size, Head *ret)
{
    const char *end = memchr(text, '\n', CONST_MIN(size, STORE_HEADER_MAX + 1)), *index;
    Scan s = {.end = text + size};
    Head head;

    if (!end)
        return -EBADMSG;
    head.header_size = (size_t)(end - text);
    index = end + 1;
    end = memchr(index, '\n', size - head.header_size - 1);
    if (!end)
        return -EBADMSG;
    head.index_size = (size_t)(end - index);
    s.p = end + 1;
    if (!scan_mac(&s, head.mac))
        return -EBADMSG;
    head.size = (size_t)(s.p - text);
    *ret = head;
    return 0;
}

int head_verify(Sealer *s, const Secret *key, const char *text, const Head *head)
{
    uint8_t expected[SEAL_MAC_SIZE];
    int r = sealer_mac(s, key, MAC_LABEL, text, head->header_size + head->index_size + 2, expected);

    if (r < 0)
        return r;
    return CRYPTO_memcmp(head->mac, expected, sizeof(expected)) == 0 ? 0 : -EBADMSG;
}

int head_format(Sealer *s, const Secret *key, const Header *header, const IndexEntry *entries,
                size_t n, char **ret, size_t *ret_size)
{
    _cleanup_(freep) char *line = NULL, *text = NULL;
    uint8_t mac[SEAL_MAC_SIZE];
    size_t size;
    char *p;
    int r = header_format(header, &line);

    if (r < 0)
        return r;
    size = strlen(line);
    if (size > STORE_HEADER_MAX)
        return -E2BIG;
    p = text = malloc(size + n * ENTRY_SIZE_MAX + 4 + MAC_LINE_SIZE + 1);
    if (!text)
        return -ENOMEM;
    p = mempcpy(p, line, size);
    *p++ = '\n';
    p = write_index(p, entries, n);
    *p++ = '\n';
    r = sealer_mac(s, key, MAC_LABEL, text, (size_t)(p - text), mac);
    if (r < 0)
        return r;
    p = mempcpy(p, MAC_START, sizeof(MAC_START) - 1);
    base64_encode(mac, sizeof(mac), p);
    p = mempcpy(p + MAC_LENGTH, MAC_END, sizeof(MAC_END) - 1);

    *ret_size = (size_t)(p - text);
    *ret = TAKE_PTR(text);
    return 0;
}
