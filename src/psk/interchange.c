/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "basic/encoding.h"
#include "psk/interchange.h"
#include "psk/limits.h"

#define PREFIX "NVMeTLSkey-1:"
#define PREFIX_LENGTH (sizeof(PREFIX) - 1)
/* Prefix, two digits and a colon. */
#define HEAD_LENGTH (PREFIX_LENGTH + 3)
#define CRC_SIZE 4
#define TEXT_LENGTH(key_size) (HEAD_LENGTH + BASE64_LENGTH((key_size) + CRC_SIZE) + 1)

static const char *const hash_names[] = {"none", "sha256", "sha384"};

const char *psk_hash_to_string(PskHash hash)
{
    return hash_names[hash];
}

int psk_hash_from_string(const char *s, PskHash *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(hash_names); i++)
        if (strcmp(s, hash_names[i]) == 0) {
            *ret = (PskHash)i;
            return 0;
        }
    return -EINVAL;
}

PskHash psk_cipher_hash(PskHash hash, size_t size)
{
    if (hash != PSK_HASH_NONE)
        return hash;
    return size == 48 ? PSK_HASH_SHA384 : PSK_HASH_SHA256;
}

size_t psk_hash_size(PskHash cipher_hash)
{
    return cipher_hash == PSK_HASH_SHA384 ? 48 : 32;
}

/* Hash 00 allows both sizes, the others one each. */
static bool size_fits_hash(size_t size, PskHash hash)
{
    return hash == PSK_HASH_NONE ? size == 32 || size == 48 : size == psk_hash_size(hash);
}

static void crc_bytes(const uint8_t *key, size_t size, uint8_t ret[static CRC_SIZE])
{
    uint32_t crc = crc32_ieee(key, size);

    for (size_t i = 0; i < CRC_SIZE; i++)
        ret[i] = (uint8_t)(crc >> (8 * i));
}

bool psk_has_byte_order_mark(const char *text, size_t length)
{
    return (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) ||
           (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0));
}

/* Reads all bytes, so the time does not depend on the key. */
static bool has_blank(const char *text, size_t length)
{
    unsigned found = 0;

    for (size_t i = 0; i < length; i++)
        found |= (unsigned)(text[i] == ' ') | (unsigned)(text[i] == '\t') |
                 (unsigned)(text[i] == '\r') | (unsigned)(text[i] == '\n');
    return found;
}

/* Finds what editors and shells add to a valid PSK. Returns a PskError, or 0. */
static int find_addition(const char *text, size_t length)
{
    if (psk_has_byte_order_mark(text, length))
        return PSK_E_MARK;
    if (length > PREFIX_LENGTH && (text[0] == '"' || text[0] == '\'') &&
        memcmp(text + 1, PREFIX, PREFIX_LENGTH) == 0)
        return PSK_E_QUOTES;
    if (length > PREFIX_LENGTH && memcmp(text, PREFIX, PREFIX_LENGTH) == 0 &&
        has_blank(text, length))
        return PSK_E_MORE;
    return 0;
}

static int parse_head(const char *text, size_t length, PskHash *ret_hash)
{
    if (length < PREFIX_LENGTH || memcmp(text, PREFIX, PREFIX_LENGTH) != 0)
        return PSK_E_PREFIX;
    if (length < HEAD_LENGTH || text[PREFIX_LENGTH] != '0' || text[PREFIX_LENGTH + 1] < '0' ||
        text[PREFIX_LENGTH + 1] > '2' || text[PREFIX_LENGTH + 2] != ':')
        return PSK_E_HASH;

    *ret_hash = (PskHash)(text[PREFIX_LENGTH + 1] - '0');
    return 0;
}

int psk_interchange_parse(const char *text, size_t length, PskHash *ret_hash,
                          Secret **ret_configured)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    uint8_t payload[PSK_SIZE_MAX + CRC_SIZE], crc[CRC_SIZE];
    CLEANUP_ERASE(payload);
    CLEANUP_ERASE(crc);
    PskHash hash;
    size_t size;
    int r;

    r = find_addition(text, length);
    if (r == 0)
        r = parse_head(text, length, &hash);
    if (r != 0)
        return r;
    /* Check the colon first: a lost colon also makes the length wrong. */
    if (text[length - 1] != ':')
        return PSK_E_COLON;
    if (length != TEXT_LENGTH(32) && length != TEXT_LENGTH(48))
        return PSK_E_LENGTH;
    if (base64_decode(text + HEAD_LENGTH, length - HEAD_LENGTH - 1, payload, sizeof(payload),
                      &size) < 0)
        return PSK_E_BASE64;
    /* With padding the text has a legal length while the key has not. */
    if (size != 32 + CRC_SIZE && size != 48 + CRC_SIZE)
        return PSK_E_LENGTH;
    size -= CRC_SIZE;
    if (!size_fits_hash(size, hash))
        return PSK_E_HASH_LENGTH;

    crc_bytes(payload, size, crc);
    if (CRYPTO_memcmp(payload + size, crc, CRC_SIZE) != 0)
        return PSK_E_CRC;

    key = secret_new_copy(payload, size);
    if (!key)
        return -ENOMEM;
    *ret_hash = hash;
    *ret_configured = TAKE_PTR(key);
    return 0;
}

int psk_interchange_format(PskHash hash, const Secret *configured, Secret **ret)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    uint8_t payload[PSK_SIZE_MAX + CRC_SIZE];
    CLEANUP_ERASE(payload);
    char *p;

    if (!size_fits_hash(configured->size, hash))
        return PSK_E_HASH_LENGTH;
    memcpy(payload, configured->data, configured->size);
    crc_bytes(payload, configured->size, payload + configured->size);

    text = secret_new(TEXT_LENGTH(configured->size) + 1);
    if (!text)
        return -ENOMEM;
    p = (char *)text->data;
    p += snprintf(p, HEAD_LENGTH + 1, PREFIX "%02u:", (unsigned)hash);
    base64_encode(payload, configured->size + CRC_SIZE, p);
    p[BASE64_LENGTH(configured->size + CRC_SIZE)] = ':';

    *ret = TAKE_PTR(text);
    return 0;
}

int psk_generate(PskHash hash, Secret **ret_configured)
{
    return secret_random(psk_hash_size(hash), ret_configured);
}
