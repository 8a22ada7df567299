/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "basic/macro.h"
#include "basic/text.h"
#include "test.h"

/* Encodes a code point in n bytes, valid or not. */
static void utf8_put(uint32_t c, size_t n, char ret[static 5])
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 1; c >>= 6)
        ret[i] = (char)(0x80 | (c & 0x3f));
    ret[0] = (char)(lead[n] | c);
    ret[n] = '\0';
}

TEST(printable_every_code_point)
{
    for (uint32_t c = 1; c < 0x1fffff; c++) {
        size_t least = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        bool good =
            c >= 0x20 && (c < 0x7f || c >= 0xa0) && (c < 0xd800 || c > 0xdfff) && c <= 0x10ffff;

        for (size_t n = least; n <= 4; n++) {
            char text[5];

            utf8_put(c, n, text);
            if (text_is_printable(text) != (good && n == least))
                TEST_FAIL("U+%04X in %zu bytes", c, n);
        }
    }
}

TEST(printable_broken_sequences)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "a\x80",
        "\xc3",
        "\xc3z",
        "\xe2\x82",
        "\xe2\x82z",
        "\xe2z\x82",
        "\xf0\x9f\x98",
        "\xf0\x9f\x98z",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc0\x80",
        "\xed\xa0\x80",
        "a\xc2\x85z",
        "good\n",
        "\tgood",
        "go\x1b[2Jod",
        "\x7f",
    };

    ASSERT_TRUE(text_is_printable(""));
    ASSERT_TRUE(text_is_printable("plain ~ text; Gr\xc3\xbc\xc3\x9f"
                                  "e \xe2\x82\xac \xf0\x9f\x98\x80"));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (text_is_printable(bad[i]))
            TEST_FAIL("sample %zu counts as printable", i);
}

TEST(after_prefix)
{
    const char *text = "prefix and rest";

    ASSERT_TRUE(text_after(text, "prefix ") == text + 7);
    ASSERT_TRUE(text_after(text, "") == text);
    ASSERT_TRUE(text_after(text, text) == text + strlen(text));
    ASSERT_TRUE(!text_after(text, "prefix  "));
    ASSERT_TRUE(!text_after("pre", "prefix"));
    ASSERT_TRUE(!text_after("", "p"));
}

TEST(hex_digits)
{
    static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";

    for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
        const char *p = c ? strchr(digits, c) : NULL, *q = c ? strchr(upper, c) : NULL;

        ASSERT_EQ(hex_digit((char)c), p ? p - digits : q ? q - upper : -1);
    }
}

TEST(hex_texts)
{
    ASSERT_TRUE(text_is_hex("", 0) && text_is_hex("0a", 2) && text_is_hex("9f0e", 4));
    ASSERT_TRUE(!text_is_hex("", 1) && !text_is_hex("0a", 1) && !text_is_hex("0a", 3));
    ASSERT_TRUE(!text_is_hex("0A", 2) && !text_is_hex("0g", 2) && !text_is_hex(" 0", 2));
}
