/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "credstore/signed-file.h"

#define MAC_KEY "{\"mac\":\""
#define MAC_LENGTH BASE64_LENGTH(SEAL_MAC_SIZE)
#define MAC_END "\"}\n"
#define MAC_LINE_SIZE (sizeof(MAC_KEY) - 1 + MAC_LENGTH + sizeof(MAC_END) - 1)

int signed_file_format(Sealer *s, const Secret *key, const char *label, const char *body,
                       char **ret, size_t *ret_size)
{
    uint8_t mac[SEAL_MAC_SIZE];
    char mac_text[MAC_LENGTH + 1];
    int n, r = sealer_mac(s, key, label, body, strlen(body), mac);

    if (r < 0)
        return r;
    base64_encode(mac, sizeof(mac), mac_text);
    n = asprintf(ret, "%s\n" MAC_KEY "%s" MAC_END, body, mac_text);
    if (n < 0)
        return -ENOMEM;

    *ret_size = (size_t)n;
    return 0;
}

int signed_file_split(const char *text, size_t size, size_t *ret_body_size,
                      uint8_t ret_mac[static SEAL_MAC_SIZE])
{
    const char *newline = memchr(text, '\n', size), *mac;
    uint8_t decoded[SEAL_MAC_SIZE];
    size_t n;

    if (!newline || size - (size_t)(newline + 1 - text) != MAC_LINE_SIZE)
        return -EBADMSG;
    mac = newline + 1 + sizeof(MAC_KEY) - 1;
    if (memcmp(newline + 1, MAC_KEY, sizeof(MAC_KEY) - 1) != 0 ||
        memcmp(mac + MAC_LENGTH, MAC_END, sizeof(MAC_END) - 1) != 0 ||
        base64_decode(mac, MAC_LENGTH, decoded, sizeof(decoded), &n) < 0 || n != sizeof(decoded))
        return -EBADMSG;

    memcpy(ret_mac, decoded, sizeof(decoded));
    *ret_body_size = (size_t)(newline - text);
    return 0;
}

int signed_file_verify(Sealer *s, const Secret *key, const char *label, const char *body,
                       size_t body_size, const uint8_t mac[static SEAL_MAC_SIZE])
{
    uint8_t expected[SEAL_MAC_SIZE];
    int r = sealer_mac(s, key, label, body, body_size, expected);

    if (r < 0)
        return r;
    return CRYPTO_memcmp(mac, expected, sizeof(expected)) == 0 ? 0 : -EBADMSG;
}

int signed_file_read(Sealer *s, const Secret *key, const char *label, int dirfd, const char *name,
                     size_t max, char **ret_body, size_t *ret_body_size)
{
    _cleanup_(freep) char *text = NULL;
    uint8_t mac[SEAL_MAC_SIZE];
    size_t size, body_size;
    int r;

    r = io_read_file_at(dirfd, name, max, &text, &size);
    if (r < 0)
        return r;
    r = signed_file_split(text, size, &body_size, mac);
    if (r < 0)
        return r;
    r = signed_file_verify(s, key, label, text, body_size, mac);
    if (r < 0)
        return r;

    text[body_size] = '\0';
    *ret_body = TAKE_PTR(text);
    *ret_body_size = body_size;
    return 0;
}
