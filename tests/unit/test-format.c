/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"
#include "found-fixture.h"
#include "test.h"

#define KEY "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define BYTES " sha256 32 55\n"

#define ASSERT_FOUND(text, expected)                                                               \
    do {                                                                                           \
        char all[FOUND_SIZE];                                                                      \
        ASSERT_OK(found_collect(format_read, text, all));                                          \
        ASSERT_STR(all, expected);                                                                 \
    } while (0)

TEST(detect)
{
    static const struct {
        const char *text;
        Format format;
    } cases[] = {
        {"", FORMAT_KEYFILE},
        {"# nothing", FORMAT_KEYFILE},
        {"NVMe0R01 a b " KEY, FORMAT_KEYFILE},
        {"nqn.a nqn.b " KEY, FORMAT_KEYFILE},
        {"tls-key = " KEY, FORMAT_KEYFILE},
        {KEY, FORMAT_PSK},
        {"# a comment\n\n  " KEY, FORMAT_PSK},
        {"\"" KEY "\"", FORMAT_PSK},
        {"[{", FORMAT_CONFIG_JSON},
        {" [ \n\n {", FORMAT_CONFIG_JSON},
        {"[]", FORMAT_CONFIG_JSON},
        {"{", FORMAT_CONFIG_JSON},
        {"[Host]", FORMAT_FABRICS},
        {"# x\n; y\n[Subsystem]", FORMAT_FABRICS},
        {"[", FORMAT_FABRICS},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (format_detect(cases[i].text, strlen(cases[i].text)) != cases[i].format)
            TEST_FAIL("%s", cases[i].text);
}

TEST(psk)
{
    ASSERT_FOUND(KEY "\n", "psk 1" BYTES);
    ASSERT_FOUND("\xef\xbb\xbf\n# x\n" KEY " \r\n\n", "psk 3" BYTES);
    ASSERT_FOUND(KEY "\n" KEY, "fault 1 more than one word: a PS\n");
    ASSERT_FOUND("'" KEY "'", "fault 1 quotes stand around it: \n");
}

TEST(keyfile)
{
    ASSERT_FOUND("\xef\xbb\xbf# x\n\nNVMe0R01\ta  b " KEY "\r\na b " KEY,
                 "psk 3 host=a subsys=b identity=NVMe0R01 a b" BYTES "psk 4 host=a subsys=b" BYTES);
    ASSERT_FOUND("x DHHC-1:00:x:\nNVMe1G01 a b c " KEY "\ny\nz\n",
                 "other 1 it is a secret of DH-HMA\nother 2 the kernel has generated\n"
                 "fault 3 not a line of a key file\nfault 4 not a line of a key file\n");
}

TEST(others)
{
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=" KEY, "psk 3 subsys=nqn.a" BYTES);
    ASSERT_FOUND("[{\"subsystems\":[{\"nqn\":\"nqn.a\",\"ports\":[{\"tls_key\":\"" KEY "\"}]}]}]",
                 "psk 1 subsys=nqn.a" BYTES);
}

TEST(no_text)
{
    static const char nul[] = "a b\nc\0d\n";
    char found[FOUND_SIZE] = "", line[FORMAT_LINE_MAX + 2];

    ASSERT_OK(format_read(nul, sizeof(nul) - 1, found_append, found));
    ASSERT_STR(found, "fault 2 a byte 0: this is no tex\n");
    ASSERT_FOUND("\xff\xfex", "fault 1 a byte order mark stands\n");
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    ASSERT_FOUND(line, "fault 1 longer than any line of \n");
}
