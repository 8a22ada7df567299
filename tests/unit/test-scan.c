/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/macro.h"
#include "basic/scan.h"
#include "test.h"

static Scan of(const char *text)
{
    return (Scan){text, text + strlen(text)};
}

TEST(literals)
{
    Scan s = of("abcabd");

    ASSERT_TRUE(scan_literal(&s, "abc") && scan_literal(&s, "") && !scan_literal(&s, "abc"));
    ASSERT_STR(s.p, "abd");
    ASSERT_TRUE(!scan_literal(&s, "abde") && scan_literal(&s, "abd") && s.p == s.end);
    ASSERT_TRUE(!scan_literal(&s, "a"));
}

TEST(hex)
{
    static const char *const bad[] = {"",
                                      "0123456789abcde",
                                      "0123456789abcdeF",
                                      "0123456789abcdeg",
                                      "-123456789abcdef",
                                      " 0123456789abcdef"};
    Scan s = of("0123456789abcdeff");
    uint64_t value = 7;
    char text[SCAN_HEX64_LENGTH + 1] = "";

    ASSERT_TRUE(scan_hex64(&s, &value));
    ASSERT_EQ(value, 0x0123456789abcdef);
    ASSERT_STR(s.p, "f");
    ASSERT_TRUE(scan_write_hex64(text, value) == text + SCAN_HEX64_LENGTH);
    ASSERT_STR(text, "0123456789abcdef");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        s = of(bad[i]);
        ASSERT_TRUE(!scan_hex64(&s, &value) && s.p == bad[i]);
    }
}

TEST(numbers)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
    } cases[] = {
        {"0", 0, true},
        {"1", 0, false},
        {"9", 9, true},
        {"9", 8, false},
        {"10", 9, false},
        {"10", 10, true},
        {"00", 10, false},
        {"01", 10, false},
        {"-1", 10, false},
        {"+1", 10, false},
        {"", 10, false},
        {"x", 10, false},
        {"255", 255, true},
        {"256", 255, false},
        {"18446744073709551615", UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, false},
        {"99999999999999999999999", UINT64_MAX, false},
        {"9007199254740992", UINT64_C(1) << 53, true},
        {"9007199254740993", UINT64_C(1) << 53, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[SCAN_NUMBER_LENGTH_MAX + 1] = "";
        Scan s = of(cases[i].text);
        uint64_t value = 77;

        if (scan_number(&s, cases[i].max, &value) != cases[i].ok)
            TEST_FAIL("%s, at most %llu", cases[i].text, (unsigned long long)cases[i].max);
        if (!cases[i].ok) {
            ASSERT_TRUE(value == 77 && s.p == cases[i].text);
            continue;
        }
        ASSERT_TRUE(s.p == s.end);
        *scan_write_number(text, value) = '\0';
        ASSERT_STR(text, cases[i].text);
    }
}

/* A number ends with its last digit. */
TEST(a_number_ends)
{
    Scan s = of("12,3");
    uint64_t value;

    ASSERT_TRUE(scan_number(&s, 100, &value) && value == 12 && *s.p == ',');
    s = of("123");
    s.end--;
    ASSERT_TRUE(scan_number(&s, 100, &value) && value == 12 && s.p == s.end);
}

TEST(strings)
{
    static const struct {
        const char *text, *value; /* NULL if not canonical */
    } cases[] = {
        {"\"\"", ""},
        {"\"abc\"", "abc"},
        {"\"a/\x7f\xc3\xbc\"", "a/\x7f\xc3\xbc"},
        {"\"\\\"\\\\\\b\\t\\n\\f\\r\"", "\"\\\b\t\n\f\r"},
        {"\"\\u0001\\u000b\\u001f\"", "\x01\x0b\x1f"},
        {"", NULL},
        {"\"", NULL},
        {"\"a", NULL},
        {"\"\\\"", NULL},
        {"\"\\u001\"", NULL},
        {"\"\\u0000\"", NULL},
        {"\"\\u000a\"", NULL},
        {"\"\\u000B\"", NULL},
        {"\"\\u0020\"", NULL},
        {"\"\\u0061\"", NULL},
        {"\"\\u00fc\"", NULL},
        {"\"\\U0001\"", NULL},
        {"\"\\/\"", NULL},
        {"\"\\a\"", NULL},
        {"\"\n\"", NULL},
        {"\"\x1f\"", NULL},
        {"\"\xff\"", NULL},
        {"\"\xc3\"", NULL},
        {"'a'", NULL},
        {"a", NULL},
    };
    char value[16], text[SCAN_STRING_LENGTH_MAX(sizeof(value)) + 1];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Scan s = of(cases[i].text);

        if (scan_string(&s, value, sizeof(value)) != (cases[i].value != NULL))
            TEST_FAIL("%s", cases[i].text);
        if (!cases[i].value) {
            ASSERT_TRUE(s.p == cases[i].text);
            continue;
        }
        ASSERT_TRUE(s.p == s.end);
        ASSERT_STR(value, cases[i].value);
        *scan_write_string(text, value) = '\0';
        ASSERT_STR(text, cases[i].text);
    }
}

/* Each character that has an escape has one only. */
TEST(each_escape)
{
    size_t n = 0;

    for (int c = 1; c < 256; c++)
        for (int d = 0; d < 256; d++) {
            char text[16], value[4], again[SCAN_STRING_LENGTH_MAX(2) + 1];
            Scan s;

            if (c == 'u')
                snprintf(text, sizeof(text), "\"\\u00%02x\"", (unsigned)d);
            else
                snprintf(text, sizeof(text), "\"\\%c\"", c);
            if (c != 'u' && d > 0)
                break;
            s = of(text);
            if (!scan_string(&s, value, sizeof(value)))
                continue;
            *scan_write_string(again, value) = '\0';
            ASSERT_STR(again, text);
            n++;
        }
    ASSERT_EQ(n, 2 + 31);
}

TEST(a_string_that_does_not_fit)
{
    char value[4] = "xyz";
    Scan s = of("\"abc\"");

    ASSERT_TRUE(!scan_string(&s, value, 0) && !scan_string(&s, value, 3) && *s.p == '"');
    ASSERT_TRUE(scan_string(&s, value, 4) && s.p == s.end);
    ASSERT_STR(value, "abc");
    s = of("\"\"");
    ASSERT_TRUE(!scan_string(&s, value, 0) && scan_string(&s, value, 1));
    s = of("\"abc\"");
    s.end--;
    ASSERT_TRUE(!scan_string(&s, value, 4));
}
