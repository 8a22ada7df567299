/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>

#include "basic/encoding.h"
#include "test.h"

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define SIZE_TRIED 200

static bool is_digit(int c)
{
    return c != '\0' && strchr(ALPHABET, c);
}

/* Decodes between buffers without a spare byte, so that a sanitizer detects any access outside. */
static int decode_exactly(const char *text, size_t length, size_t capacity, uint8_t **ret,
                          size_t *ret_size)
{
    _cleanup_(freep) char *in = malloc(length);
    _cleanup_(freep) uint8_t *out = malloc(capacity);
    int r;

    if (!in || !out)
        return -ENOMEM;
    memcpy(in, text, length);
    r = base64_decode(in, length, out, capacity, ret_size);
    if (r == 0)
        *ret = TAKE_PTR(out);
    return r;
}

static int decode_text(const char *text, size_t capacity)
{
    _cleanup_(freep) uint8_t *data = NULL;
    size_t size;

    return decode_exactly(text, strlen(text), capacity, &data, &size);
}

TEST(base64_known_answers)
{
    /* RFC 4648 section 10. */
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 99, expected = strlen(pairs[i][0]);
        char text[16];

        base64_encode((const uint8_t *)pairs[i][0], expected, text);
        ASSERT_STR(text, pairs[i][1]);
        ASSERT_EQ(strlen(text), BASE64_LENGTH(expected));
        ASSERT_OK(decode_exactly(pairs[i][1], strlen(pairs[i][1]), expected, &data, &size));
        ASSERT_EQ(size, expected);
        ASSERT_MEM(data, pairs[i][0], size);
    }
}

TEST(base64_agrees_with_openssl)
{
    for (size_t size = 0; size <= SIZE_TRIED; size++) {
        _cleanup_(freep) uint8_t *decoded = NULL;
        uint8_t data[SIZE_TRIED + 1];
        unsigned char reference[BASE64_LENGTH(SIZE_TRIED) + 1];
        char text[BASE64_LENGTH(SIZE_TRIED) + 1];
        size_t decoded_size;

        ASSERT_EQ(RAND_bytes(data, sizeof(data)), 1);
        base64_encode(data, size, text);
        ASSERT_EQ(EVP_EncodeBlock(reference, data, (int)size), strlen(text));
        ASSERT_STR(text, (const char *)reference);
        ASSERT_OK(decode_exactly(text, strlen(text), size, &decoded, &decoded_size));
        ASSERT_EQ(decoded_size, size);
        ASSERT_MEM(decoded, data, size);
    }
}

TEST(base64_every_byte_at_every_place)
{
    for (size_t place = 0; place < 8; place++)
        for (int c = 0; c < 256; c++) {
            _cleanup_(freep) uint8_t *data = NULL;
            char text[] = "QUJDREVA";
            /* Padding is not accepted either, because the bits after the end of "REV=" are set. */
            bool good = is_digit(c);
            size_t size = 99;

            text[place] = (char)c;
            if (decode_exactly(text, 8, 6, &data, &size) != (good ? 0 : -EINVAL))
                TEST_FAIL("byte 0x%02x at %zu", (unsigned)c, place);
            ASSERT_EQ(size, good ? 6 : 99);
        }
}

TEST(base64_values_of_digits)
{
    for (size_t i = 0; i < 64; i++) {
        const char text[] = {ALPHABET[i], ALPHABET[i], ALPHABET[i], ALPHABET[i]};
        uint8_t data[3];
        size_t size;

        ASSERT_OK(base64_decode(text, 4, data, sizeof(data), &size));
        ASSERT_EQ(size, 3);
        ASSERT_EQ(data[0] << 16 | data[1] << 8 | data[2], i << 18 | i << 12 | i << 6 | i);
    }
}

TEST(base64_padding)
{
    static const char *const good[] = {"QQ==", "QUI=", "QUJDQQ==", "gA==", "/w=="};
    static const char *const bad[] = {
        "=",    "==",   "===",  "====",     "Q===",     "QQ=Q",     "=QQQ",         "Q=QQ",
        "Q=Q=", "=Q==", "A===", "QQ==QQ==", "QUI=QUI=", "QUJD====", "QQ==\n\n\n\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        ASSERT_OK(decode_text(good[i], 99));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (decode_text(bad[i], 99) != -EINVAL)
            TEST_FAIL("\"%s\" was decoded", bad[i]);
}

TEST(base64_bits_behind_the_end)
{
    char two[] = "Q?==", three[] = "QU?=";

    for (size_t i = 0; i < 64; i++) {
        two[1] = three[2] = ALPHABET[i];
        ASSERT_EQ(decode_text(two, 99), i % 16 == 0 ? 0 : -EINVAL);
        ASSERT_EQ(decode_text(three, 99), i % 4 == 0 ? 0 : -EINVAL);
    }
}

TEST(base64_lengths)
{
    char text[65];

    memset(text, 'A', sizeof(text));
    for (size_t length = 0; length < sizeof(text); length++) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size = 99;

        ASSERT_EQ(decode_exactly(text, length, 48, &data, &size), length % 4 == 0 ? 0 : -EINVAL);
        ASSERT_EQ(size, length % 4 == 0 ? length / 4 * 3 : 99);
    }
}

TEST(base64_capacity)
{
    static const char *const texts[] = {"QUJDREVG", "QUJDREU=", "QUJDRA=="};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (size_t capacity = 0; capacity < 8; capacity++)
            ASSERT_EQ(decode_text(texts[i], capacity), capacity < 6 - i ? -ENOBUFS : 0);
}

TEST(hex)
{
    static const uint8_t ends[] = {0x00, 0x09, 0x0a, 0x0f, 0x90, 0xa0, 0xf0, 0xff};
    char text[2 * 256 + 1], expected[3];
    uint8_t all[256];

    hex_encode(ends, sizeof(ends), text);
    ASSERT_STR(text, "00090a0f90a0f0ff");
    hex_encode(ends, 0, text);
    ASSERT_STR(text, "");

    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    hex_encode(all, sizeof(all), text);
    ASSERT_EQ(strlen(text), 512);
    for (unsigned i = 0; i < 256; i++) {
        (void)snprintf(expected, sizeof(expected), "%02x", i & 0xff);
        ASSERT_MEM(text + 2 * i, expected, 2);
    }
}

TEST(crc32)
{
    static const uint8_t zeros[32];

    ASSERT_EQ(crc32_ieee(zeros, 0), 0);
    ASSERT_EQ(crc32_ieee((const uint8_t *)"123456789", 9), 0xcbf43926);
    ASSERT_EQ(crc32_ieee(zeros, sizeof(zeros)), 0x190a55ad);
    ASSERT_EQ(crc32_ieee((const uint8_t *)"\xff", 1), 0xff000000);
}
