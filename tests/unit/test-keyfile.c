/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "psk/keyfile.h"
#include "psk/limits.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"
#define PAIR HOST " " SUBSYSTEM
/* From libnvme's tests. */
#define PSK_32 "01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define PSK_48 "02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:"
#define KEY_32 "NVMeTLSkey-1:" PSK_32
#define KEY_48 "NVMeTLSkey-1:" PSK_48
#define DIGEST_32 "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define DIGEST_48 "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a"

static const uint8_t key_32[] = {0x55, 0x12, 0xdb, 0xb6, 0x73, 0x7d, 0x01, 0x06, 0xf6, 0x59, 0x75,
                                 0xb7, 0x73, 0xdf, 0xb0, 0x11, 0xff, 0xc3, 0x44, 0xbc, 0xf4, 0x42,
                                 0xe2, 0xdd, 0x6d, 0x8b, 0xc4, 0x87, 0x0b, 0x5d, 0x5b, 0x03};

/* A line of nvme-cli: the key is the last word, and the identity stands before it. */
TEST(derived)
{
    static const struct {
        const char *identity, *key;
        size_t size;
    } cases[] = {
        {"NVMe0R01 " PAIR, KEY_32, 32},
        {"NVMe0R02 " PAIR, KEY_48, 48},
        {"NVMe1R01 " PAIR " " DIGEST_32, KEY_32, 32},
        {"NVMe1R02 " PAIR " " DIGEST_48, KEY_48, 48},
        /* nvme-cli 2.11 to 2.16 */
        {"NVMe0R01 " PAIR, "NVMeTLSkey-0:" PSK_32, 32},
        {"NVMe0R02 " PAIR, "NVMeTLSkey-0:" PSK_48, 48},
        {"NVMe0R01 " PAIR, "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", 32},
    };
    char text[1024];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_NOTHING};

        (void)snprintf(text, sizeof(text), "%s %s", cases[i].identity, cases[i].key);
        ASSERT_OK(keyfile_line_parse(text, strlen(text), &l));
        ASSERT_EQ(l.kind, KEYFILE_DERIVED);
        ASSERT_STR(l.identity, cases[i].identity);
        ASSERT_STR(l.hostnqn, HOST);
        ASSERT_STR(l.subsysnqn, SUBSYSTEM);
        ASSERT_EQ(l.psk->size, cases[i].size);
        ASSERT_MEM(l.psk->data, key_32, 31);
    }
}

TEST(configured)
{
    static const char *const texts[] = {
        PAIR " " KEY_32,
        "  " PAIR " " KEY_32 " \t\r",
        "\t" PAIR " " KEY_32,
        HOST "  " SUBSYSTEM " \t " KEY_32,
        HOST "\t" SUBSYSTEM "\t" KEY_32,
        "\xef\xbb\xbf" PAIR " " KEY_32,
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_NOTHING};

        ASSERT_OK(keyfile_line_parse(texts[i], strlen(texts[i]), &l));
        ASSERT_EQ(l.kind, KEYFILE_CONFIGURED);
        ASSERT_STR(l.identity, "");
        ASSERT_STR(l.hostnqn, HOST);
        ASSERT_STR(l.subsysnqn, SUBSYSTEM);
        ASSERT_EQ(l.hash, PSK_HASH_SHA256);
        ASSERT_EQ(l.psk->size, sizeof(key_32));
        ASSERT_MEM(l.psk->data, key_32, sizeof(key_32));
    }
}

TEST(no_key)
{
    static const struct {
        const char *text;
        KeyfileKind kind;
    } cases[] = {
        {"", KEYFILE_NOTHING},
        {" \t\r", KEYFILE_NOTHING},
        {"#", KEYFILE_NOTHING},
        {"  # " PAIR " " KEY_32, KEYFILE_NOTHING},
        {"#" PAIR " DHHC-1:00:x:", KEYFILE_NOTHING},
        {HOST " DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:", KEYFILE_DHCHAP},
        {"NVMe0R01 " PAIR " DHHC-1:", KEYFILE_DHCHAP},
        {"NVMe1G01 " PAIR " " DIGEST_32 " " KEY_32, KEYFILE_GENERATED},
        {"NVMe0G02 " PAIR " " KEY_48, KEYFILE_GENERATED},
        {"\xef\xbb\xbf", KEYFILE_NOTHING},
        {"\xef\xbb\xbf# x", KEYFILE_NOTHING},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        KeyfileLine l = {.kind = KEYFILE_DERIVED};

        ASSERT_OK(keyfile_line_parse(cases[i].text, strlen(cases[i].text), &l));
        ASSERT_EQ(l.kind, cases[i].kind);
        ASSERT_TRUE(!l.psk && !*l.identity);
    }
}

TEST(bad)
{
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"x", PSK_E_LINE},
        {"\xff\xfeN", PSK_E_MARK},
        {"NVMe0R01 " PAIR " x y " KEY_32, PSK_E_IDENTITY},
        {PAIR " \"" KEY_32 "\"", PSK_E_QUOTES},
        {KEY_32, PSK_E_LINE},
        {HOST " " KEY_32, PSK_E_LINE},
        {PAIR " " SUBSYSTEM " " KEY_32, PSK_E_LINE},
        {PAIR, PSK_E_LINE},
        {HOST " nqn.a;b " KEY_32, PSK_E_NQN},
        {"DHHC-1:00:x:", PSK_E_LINE},
        {PAIR " NVMeTLSkey-0:" PSK_32, PSK_E_PREFIX},
        {PAIR " NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrY:", PSK_E_CRC},
        {"NVMe0R01 " PAIR " NVMeTLSkey-2:" PSK_32, PSK_E_PREFIX},
        {"NVMe0R01 " PAIR " NVMeTLSkey-0:01:", PSK_E_LENGTH},
        {"NVMe0R01 " PAIR " " KEY_32 "x", PSK_E_COLON},
        {"NVMe0R01 " PAIR " " KEY_48, PSK_E_IDENTITY_SIZE},
        {"NVMe0R02 " PAIR " " KEY_32, PSK_E_IDENTITY_SIZE},
        {"NVMe1R02 " PAIR " " DIGEST_48 " " KEY_32, PSK_E_IDENTITY_SIZE},
        {"NVMe1R01 " PAIR " " KEY_32, PSK_E_DIGEST},
        {"NVMe1R01 " PAIR " iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU; " KEY_32, PSK_E_DIGEST},
        {"NVMe1R01 " PAIR " " DIGEST_48 " " KEY_32, PSK_E_IDENTITY},
        {"NVMe0R01 " PAIR " " DIGEST_32 " " KEY_32, PSK_E_IDENTITY},
        {"NVMe2R01 " PAIR " " KEY_32, PSK_E_IDENTITY},
        {"NVMe0R03 " PAIR " " KEY_32, PSK_E_IDENTITY},
        {"NVMe0R01 " HOST " " KEY_32, PSK_E_IDENTITY},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        KeyfileLine l = {.kind = KEYFILE_DHCHAP};

        ASSERT_EQ(keyfile_line_parse(cases[i].text, strlen(cases[i].text), &l), cases[i].error);
        ASSERT_EQ(l.kind, KEYFILE_DHCHAP);
        ASSERT_TRUE(strlen(psk_error_text(cases[i].error)) > 20);
        ASSERT_TRUE(!strstr(psk_error_text(cases[i].error), "VRLb"));
    }
}

/* A NUL ends no name, and belongs to none. */
TEST(nul)
{
    static const char text[] = PAIR "\0x " KEY_32;
    KeyfileLine l;

    ASSERT_EQ(keyfile_line_parse(text, sizeof(text) - 1, &l), PSK_E_NQN);
}

/* Pages and tests of nvme-cli use such names. */
TEST(names_without_prefix)
{
    _cleanup_(keyfile_line_done) KeyfileLine own = {.psk = NULL}, derived = {.psk = NULL};
    static const char line[] = "NVMe0R01\thost-1  blktests-subsystem-1 " KEY_32;

    ASSERT_OK(keyfile_line_parse("host-1 x " KEY_32, strlen("host-1 x " KEY_32), &own));
    ASSERT_STR(own.hostnqn, "host-1");
    ASSERT_STR(own.subsysnqn, "x");
    ASSERT_OK(keyfile_line_parse(line, strlen(line), &derived));
    ASSERT_STR(derived.identity, "NVMe0R01 host-1 blktests-subsystem-1");
    ASSERT_STR(derived.subsysnqn, "blktests-subsystem-1");
}

/* The longest identity fits, also if its words stand far apart. */
TEST(longest)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.psk = NULL};
    char name[NQN_LENGTH_MAX + 2], text[2048];

    memset(name, 'n', sizeof(name) - 1);
    name[NQN_LENGTH_MAX] = '\0';
    (void)snprintf(text, sizeof(text), "NVMe1R02 %s\t\t%s   %s %s", name, name, DIGEST_48, KEY_48);
    ASSERT_OK(keyfile_line_parse(text, strlen(text), &l));
    ASSERT_EQ(strlen(l.identity), PSK_IDENTITY_MAX);
    (void)snprintf(text, sizeof(text), "NVMe1R02 %sn %s %s %s", name, name, DIGEST_48, KEY_48);
    ASSERT_EQ(keyfile_line_parse(text, strlen(text), &l), PSK_E_IDENTITY);
}
