/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>

#include "basic/encoding.h"
#include "basic/limits.h"
#include "basic/text.h"
#include "psk/interchange.h"
#include "psk/limits.h"
#include "test.h"

/* From libnvme's tests/psk.c; test-derive.c checks the published strings. */
#define TEXT_32 "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define TEXT_48 "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:"
#define HEAD_LENGTH (sizeof("NVMeTLSkey-1:00:") - 1)

static const char *const valid[] = {
    "NVMeTLSkey-1:00:" TEXT_32,
    "NVMeTLSkey-1:01:" TEXT_32,
    "NVMeTLSkey-1:00:" TEXT_48,
    "NVMeTLSkey-1:02:" TEXT_48,
};

/* Parses a copy without a terminator and returns the result, or -1 if a failure changed an output
 * or a key has neither 32 nor 48 bytes. */
static int parse(const char *text, size_t length)
{
    _cleanup_(freep) char *copy = malloc(length);
    Secret untouched, *key = &untouched;
    PskHash hash = (PskHash)99;
    int r;

    if (!copy)
        return -1;
    memcpy(copy, text, length);
    r = psk_interchange_parse(copy, length, &hash, &key);
    if (r != 0)
        return hash == (PskHash)99 && key == &untouched ? r : -1;
    r = hash <= PSK_HASH_SHA384 && (key->size == 32 || key->size == 48) ? 0 : -1;
    secret_free(key);
    return r;
}

static int parse_text(const char *text)
{
    return parse(text, strlen(text));
}

/* "NVMeTLSkey-1:HH:", Base64 of size key bytes and their CRC, and ":", for any size. */
static void make_text(const char *hash, size_t size, char ret[static 300])
{
    uint8_t payload[128];
    uint32_t crc;

    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)(7 * i + 3);
    crc = crc32_ieee(payload, size);
    for (size_t i = 0; i < 4; i++)
        payload[size + i] = (uint8_t)(crc >> 8 * i);
    ret += sprintf(ret, "NVMeTLSkey-1:%s:", hash);
    base64_encode(payload, size + 4, ret);
    strcat(ret, ":");
}

TEST(round_trips)
{
    static const struct {
        PskHash hash;
        size_t size, length;
    } kinds[] = {
        {PSK_HASH_NONE, 32, 65},
        {PSK_HASH_NONE, 48, 89},
        {PSK_HASH_SHA256, 32, 65},
        {PSK_HASH_SHA384, 48, 89},
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        for (int n = 0; n < 1000; n++) {
            _cleanup_(secret_freep) Secret *key = NULL, *text = NULL, *again = NULL;
            PskHash hash;

            ASSERT_OK(secret_random(kinds[i].size, &key));
            ASSERT_OK(psk_interchange_format(kinds[i].hash, key, &text));
            ASSERT_EQ(text->size, kinds[i].length + 1);
            ASSERT_EQ(strlen((const char *)text->data), kinds[i].length);
            ASSERT_OK(
                psk_interchange_parse((const char *)text->data, text->size - 1, &hash, &again));
            ASSERT_EQ(hash, kinds[i].hash);
            ASSERT_TRUE(secret_equal(key, again));
        }
}

TEST(generate)
{
    for (PskHash hash = PSK_HASH_NONE; hash <= PSK_HASH_SHA384; hash++) {
        _cleanup_(secret_freep) Secret *last = NULL;

        for (int n = 0; n < 1000; n++) {
            _cleanup_(secret_freep) Secret *key = NULL, *text = NULL;

            ASSERT_OK(psk_generate(hash, &key));
            ASSERT_EQ(key->size, hash == PSK_HASH_SHA384 ? 48 : 32);
            ASSERT_TRUE(!last || !secret_equal(key, last));
            ASSERT_OK(psk_interchange_format(hash, key, &text));
            ASSERT_OK(parse_text((const char *)text->data));
            secret_free(last);
            last = TAKE_PTR(key);
        }
    }
}

static bool is_digit(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* True if a wrong character c in a valid text gives this error. The checksum does not cover the
 * hash, so 00 and the hash of the key's size replace each other unnoticed. */
static bool fits(const char *text, size_t place, int c, int error)
{
    size_t length = strlen(text), padding = length == 89 ? length - 3 : length - 1;

    if (place < HEAD_LENGTH - 3)
        return error == PSK_E_PREFIX;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return error == PSK_E_MORE;
    if (place == HEAD_LENGTH - 2 && (c == '0' || c == (length == 65 ? '1' : '2')))
        return error == 0;
    if (place == HEAD_LENGTH - 2 && (c == '1' || c == '2'))
        return error == PSK_E_HASH_LENGTH;
    if (place < HEAD_LENGTH)
        return error == PSK_E_HASH;
    if (place == length - 1)
        return error == PSK_E_COLON;
    if (place >= padding || !is_digit(c))
        return error == PSK_E_BASE64;
    /* The last digit before "==" has four bits that must be zero, as in 'A', 'Q', 'g' and 'w'. */
    if (length == 89 && place == padding - 1)
        return error == (strchr("AQgw", c) ? PSK_E_CRC : PSK_E_BASE64);
    return error == PSK_E_CRC;
}

TEST(every_corruption)
{
    size_t tried = 0;

    for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
        for (size_t place = 0; place < strlen(valid[i]); place++)
            for (int c = 0; c < 256; c++) {
                char text[PSK_INTERCHANGE_MAX + 1];
                int r;

                if ((char)c == valid[i][place])
                    continue;
                strcpy(text, valid[i]);
                text[place] = (char)c;
                r = parse(text, strlen(valid[i]));
                if (!fits(valid[i], place, c, r))
                    TEST_FAIL("byte 0x%02x at %zu of %s: result %d", (unsigned)c, place, valid[i],
                              r);
                tried++;
            }
    ASSERT_EQ(tried, 2 * (65 + 89) * 255);
}

/* Only the checksum detects two swapped neighbours. */
TEST(swapped_characters)
{
    for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
        for (size_t place = HEAD_LENGTH; place < strlen(valid[i]) - 5; place++) {
            char text[PSK_INTERCHANGE_MAX + 1], c;

            strcpy(text, valid[i]);
            c = text[place];
            text[place] = text[place + 1];
            text[place + 1] = c;
            ASSERT_EQ(parse_text(text), c == text[place] ? 0 : PSK_E_CRC);
        }
}

static int error_of_length(const char *text, size_t length)
{
    if (length < HEAD_LENGTH - 3)
        return PSK_E_PREFIX;
    if (length < HEAD_LENGTH)
        return PSK_E_HASH;
    if (text[length - 1] != ':')
        return PSK_E_COLON;
    return length == 65 || length == 89 ? 0 : PSK_E_LENGTH;
}

TEST(every_length)
{
    for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
        for (size_t length = 0; length <= 200; length++) {
            char text[201];
            int expected;

            /* Cut short, or with more text at the end. */
            memset(text, 'A', sizeof(text));
            memcpy(text, valid[i], strlen(valid[i]));
            expected = error_of_length(text, length);
            ASSERT_EQ(parse(text, length), expected);

            /* As above, with a colon at the end. */
            if (length <= HEAD_LENGTH || length == strlen(valid[i]))
                continue;
            text[length - 1] = ':';
            expected = error_of_length(text, length);
            if (expected == 0)
                ASSERT_TRUE(parse(text, length) > 0);
            else
                ASSERT_EQ(parse(text, length), expected);
        }
}

TEST(hash_and_size)
{
    for (size_t size = 0; size <= 64; size++)
        for (int hash = 0; hash <= 2; hash++) {
            bool legal = size == 32 || size == 48;
            char text[300], digits[] = {'0', (char)('0' + hash), '\0'};
            int r, expected = 0;

            make_text(digits, size, text);
            r = parse_text(text);
            if (legal && hash != 0 && (hash == 1) != (size == 32))
                expected = PSK_E_HASH_LENGTH;
            /* The neighbours of 32 and 48 bytes have the same length in Base64. */
            if (!legal)
                expected = size == 49 || size == 50 ? PSK_E_BASE64 : PSK_E_LENGTH;
            if (r != expected)
                TEST_FAIL("hash %d, %zu bytes: result %d", hash, size, r);
        }
}

TEST(unknown_hash)
{
    static const char *const hashes[] = {"03", "0A", "0a", "04", "10", "11",
                                         "ff", "FF", "+1", "-1", "0:", "::"};
    char text[300];

    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        make_text(hashes[i], 32, text);
        ASSERT_EQ(parse_text(text), PSK_E_HASH);
    }
    make_text("1", 32, text);
    ASSERT_EQ(parse_text(text), PSK_E_HASH);
    make_text("001", 32, text);
    ASSERT_EQ(parse_text(text), PSK_E_HASH);
}

TEST(head_and_end)
{
    ASSERT_EQ(parse_text(""), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("NVMeTLSkey-0:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("NVMeTLSkey-2:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("NVMeTLSkey-10:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("nvmetlskey-1:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text(" NVMeTLSkey-1:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("DHHC-1:01:" TEXT_32), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:"), PSK_E_HASH);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:01:"), PSK_E_LENGTH);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:01::"), PSK_E_LENGTH);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:01:" TEXT_32 "\n"), PSK_E_MORE);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:01:" TEXT_32 " "), PSK_E_MORE);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:01:" TEXT_32 ":"), PSK_E_LENGTH);
    ASSERT_EQ(parse("NVMeTLSkey-1:01:" TEXT_32, 64), PSK_E_COLON);
    ASSERT_EQ(parse("NVMeTLSkey-1:02:" TEXT_48, 88), PSK_E_COLON);
    /* The terminator does not belong to the text. */
    ASSERT_EQ(parse("NVMeTLSkey-1:01:" TEXT_32, 66), PSK_E_COLON);
}

TEST(bits_behind_the_end)
{
    char text[] = "NVMeTLSkey-1:02:" TEXT_48;

    ASSERT_EQ(text[85], 'Q');
    for (text[85] = 'R'; text[85] <= 'Z'; text[85]++)
        ASSERT_EQ(parse_text(text), PSK_E_BASE64);
    text[85] = 'Q';
    ASSERT_OK(parse_text(text));
}

TEST(format_refuses)
{
    for (size_t size = 0; size <= 70; size++)
        for (PskHash hash = PSK_HASH_NONE; hash <= PSK_HASH_SHA384; hash++) {
            _cleanup_(secret_freep) Secret *key = secret_new(size), *text = NULL;
            bool good =
                (size == 32 && hash != PSK_HASH_SHA384) || (size == 48 && hash != PSK_HASH_SHA256);

            ASSERT_TRUE(key);
            ASSERT_EQ(psk_interchange_format(hash, key, &text), good ? 0 : PSK_E_HASH_LENGTH);
            ASSERT_EQ(text != NULL, good);
        }
}

TEST(without_memory)
{
    static Secret *blocks[SECRET_ARENA_SIZE / 32];
    _cleanup_(secret_freep) Secret *key = secret_new(32);
    Secret untouched, *text = &untouched;
    size_t n = 0;

    ASSERT_TRUE(key);
    while (n < ARRAY_SIZE(blocks) && (blocks[n] = secret_new(8)))
        n++;
    ASSERT_EQ(parse_text(valid[0]), -ENOMEM);
    ASSERT_EQ(parse_text(valid[3]), -ENOMEM);
    ASSERT_EQ(psk_interchange_format(PSK_HASH_NONE, key, &text), -ENOMEM);
    ASSERT_EQ(psk_generate(PSK_HASH_NONE, &text), -ENOMEM);
    ASSERT_TRUE(text == &untouched);
    while (n > 0)
        secret_free(blocks[--n]);
    ASSERT_OK(parse_text(valid[0]));
}

TEST(hash_names)
{
    static const char *const names[] = {"none", "sha256", "sha384"};
    PskHash hash = PSK_HASH_SHA384;

    for (PskHash i = PSK_HASH_NONE; i <= PSK_HASH_SHA384; i++) {
        ASSERT_STR(psk_hash_to_string(i), names[i]);
        ASSERT_OK(psk_hash_from_string(names[i], &hash));
        ASSERT_EQ(hash, i);
    }
    ASSERT_EQ(psk_hash_from_string("SHA256", &hash), -EINVAL);
    ASSERT_EQ(psk_hash_from_string("", &hash), -EINVAL);
    ASSERT_EQ(psk_hash_from_string("sha2567", &hash), -EINVAL);
    ASSERT_EQ(hash, PSK_HASH_SHA384);
}

TEST(cipher_hashes)
{
    ASSERT_EQ(psk_cipher_hash(PSK_HASH_NONE, 32), PSK_HASH_SHA256);
    ASSERT_EQ(psk_cipher_hash(PSK_HASH_NONE, 48), PSK_HASH_SHA384);
    ASSERT_EQ(psk_cipher_hash(PSK_HASH_SHA256, 32), PSK_HASH_SHA256);
    ASSERT_EQ(psk_cipher_hash(PSK_HASH_SHA384, 48), PSK_HASH_SHA384);
    ASSERT_EQ(psk_hash_size(PSK_HASH_SHA256), 32);
    ASSERT_EQ(psk_hash_size(PSK_HASH_SHA384), 48);
}

TEST(additions)
{
    ASSERT_EQ(parse_text("\xef\xbb\xbfNVMeTLSkey-1:00:" TEXT_32), PSK_E_MARK);
    ASSERT_EQ(parse("\xff\xfeN\0V\0", 6), PSK_E_MARK);
    ASSERT_EQ(parse("\xfe\xff\0N\0V", 6), PSK_E_MARK);
    ASSERT_EQ(parse("\xfe", 1), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("\"NVMeTLSkey-1:00:" TEXT_32 "\""), PSK_E_QUOTES);
    ASSERT_EQ(parse_text("'NVMeTLSkey-1:00:" TEXT_32 "'"), PSK_E_QUOTES);
    ASSERT_EQ(parse_text("'NVMeTLSkey-1:00:" TEXT_32), PSK_E_QUOTES);
    ASSERT_EQ(parse_text("\"NVMeTLSkey\""), PSK_E_PREFIX);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:00:" TEXT_32 "\nNVMeTLSkey-1:00:" TEXT_32), PSK_E_MORE);
    ASSERT_EQ(parse_text("NVMeTLSkey-1:00:" TEXT_32 " # of disk1"), PSK_E_MORE);
    ASSERT_EQ(parse_text("a\nNVMeTLSkey-1:00:" TEXT_32), PSK_E_PREFIX);
}

TEST(error_texts)
{
    for (int i = PSK_E_PREFIX; i <= PSK_E_LINE; i++) {
        ASSERT_TRUE(text_is_printable(psk_error_text(i)));
        ASSERT_TRUE(strcmp(psk_error_text(i), "unknown error") != 0);
        for (int k = PSK_E_PREFIX; k < i; k++)
            ASSERT_TRUE(strcmp(psk_error_text(i), psk_error_text(k)) != 0);
    }
    ASSERT_STR(psk_error_text(-ENOMEM), "Cannot allocate memory");
    ASSERT_STR(psk_error_text(PSK_E_LINE + 1), "unknown error");
    ASSERT_STR(psk_error_text(0), "unknown error");
}
