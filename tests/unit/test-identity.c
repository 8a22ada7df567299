/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "psk/identity.h"
#include "psk/limits.h"
#include "test.h"

#define HOST "nqn.psk-test-host"
#define SUBSYS "nqn.psk-test-subsys"
#define PAIR HOST " " SUBSYS
#define DIGEST_256 "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define DIGEST_384 "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a"

/* Parses a copy without a terminator. The parts point into the copy, so it stays allocated. */
static int parse(const char *text, size_t length, char **ret_copy, PskIdentity *ret)
{
    *ret_copy = malloc(length);
    if (!*ret_copy)
        return -1;
    memcpy(*ret_copy, text, length);
    return psk_identity_parse(*ret_copy, length, ret);
}

static bool refused(const char *text, size_t length)
{
    _cleanup_(freep) char *copy = NULL;
    PskIdentity untouched = {.version = 99}, i = untouched;

    return parse(text, length, &copy, &i) == PSK_E_IDENTITY &&
           memcmp(&i, &untouched, sizeof(i)) == 0;
}

#define ASSERT_REFUSED(literal)                                                                    \
    do {                                                                                           \
        if (!refused(literal, sizeof(literal) - 1))                                                \
            TEST_FAIL("parsed: %s", #literal);                                                     \
    } while (0)

static bool part_is(const char *part, size_t length, const char *expected)
{
    return part && length == strlen(expected) && memcmp(part, expected, length) == 0;
}

TEST(format)
{
    char text[PSK_IDENTITY_MAX + 1];

    psk_identity_format(0, PSK_HASH_SHA256, HOST, SUBSYS, NULL, text);
    ASSERT_STR(text, "NVMe0R01 " PAIR);
    psk_identity_format(0, PSK_HASH_SHA384, HOST, SUBSYS, NULL, text);
    ASSERT_STR(text, "NVMe0R02 " PAIR);
    psk_identity_format(1, PSK_HASH_SHA256, HOST, SUBSYS, DIGEST_256, text);
    ASSERT_STR(text, "NVMe1R01 " PAIR " " DIGEST_256);
    psk_identity_format(1, PSK_HASH_SHA384, HOST, SUBSYS, DIGEST_384, text);
    ASSERT_STR(text, "NVMe1R02 " PAIR " " DIGEST_384);
}

/* Fills in two NQNs of the largest size. */
static void longest_names(char host[static NQN_LENGTH_MAX + 1],
                          char subsys[static NQN_LENGTH_MAX + 1])
{
    memset(host, 'h', NQN_LENGTH_MAX);
    memset(subsys, 's', NQN_LENGTH_MAX);
    memcpy(host, "nqn.", 4);
    memcpy(subsys, "nqn.", 4);
    host[NQN_LENGTH_MAX] = subsys[NQN_LENGTH_MAX] = '\0';
}

TEST(format_longest)
{
    char host[NQN_LENGTH_MAX + 1], subsys[NQN_LENGTH_MAX + 1], text[PSK_IDENTITY_MAX + 1];
    _cleanup_(freep) char *copy = NULL;
    PskIdentity i;

    longest_names(host, subsys);
    psk_identity_format(1, PSK_HASH_SHA384, host, subsys, DIGEST_384, text);
    ASSERT_EQ(strlen(text), PSK_IDENTITY_MAX);
    ASSERT_OK(parse(text, strlen(text), &copy, &i));
    ASSERT_TRUE(part_is(i.hostnqn, i.hostnqn_length, host));
    ASSERT_TRUE(part_is(i.subsysnqn, i.subsysnqn_length, subsys));
    ASSERT_TRUE(part_is(i.digest, i.digest_length, DIGEST_384));
}

TEST(parse_parts)
{
    static const char *const digests[] = {"", DIGEST_256, DIGEST_384};

    for (unsigned version = 0; version < 2; version++)
        for (PskHash hash = PSK_HASH_SHA256; hash <= PSK_HASH_SHA384; hash++)
            for (int digest = 0; digest <= (int)version; digest++) {
                char text[PSK_IDENTITY_MAX + 1];
                _cleanup_(freep) char *copy = NULL;
                PskIdentity i;

                psk_identity_format(version, hash, HOST, SUBSYS, digest ? digests[hash] : NULL,
                                    text);
                ASSERT_OK(parse(text, strlen(text), &copy, &i));
                ASSERT_EQ(i.version, version);
                ASSERT_EQ(i.hash, hash);
                ASSERT_TRUE(part_is(i.hostnqn, i.hostnqn_length, HOST));
                ASSERT_TRUE(part_is(i.subsysnqn, i.subsysnqn_length, SUBSYS));
                ASSERT_EQ(i.digest != NULL, digest);
                ASSERT_TRUE(!digest || part_is(i.digest, i.digest_length, digests[hash]));
            }
}

TEST(parse_head)
{
    static const char whole[] = "NVMe1R01 " PAIR;

    /* Each byte in each place of the head; version and hash accept two values each. */
    for (size_t place = 0; place < 9; place++)
        for (int c = 0; c < 256; c++) {
            _cleanup_(freep) char *copy = NULL;
            char text[sizeof(whole)];
            bool good = c == whole[place] || (place == 4 && c == '0') || (place == 7 && c == '2');
            PskIdentity i;

            memcpy(text, whole, sizeof(whole));
            text[place] = (char)c;
            if (parse(text, sizeof(whole) - 1, &copy, &i) != (good ? 0 : PSK_E_IDENTITY))
                TEST_FAIL("byte 0x%02x at %zu", (unsigned)c, place);
        }
    ASSERT_REFUSED("NVMe1G01 " PAIR);
    ASSERT_REFUSED("NVMe1R00 " PAIR);
    ASSERT_REFUSED("NVMe1R03 " PAIR);
    ASSERT_REFUSED("NVMe1R1 " PAIR);
    ASSERT_REFUSED("NVMe2R01 " PAIR);
    ASSERT_REFUSED("nvme1R01 " PAIR);
    ASSERT_REFUSED(" NVMe1R01 " PAIR);
}

TEST(parse_truncated)
{
    static const char whole[] = "NVMe1R01 " PAIR " " DIGEST_256;
    size_t pair_end = strlen("NVMe1R01 " PAIR), subsys = strlen("NVMe1R01 " HOST " ");

    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        /* A subsystem NQN that is cut short is still a name. */
        bool good = length > subsys && length <= pair_end;

        if (refused(whole, length) == good)
            TEST_FAIL("%zu characters", length);
    }
}

TEST(parse_blanks)
{
    ASSERT_REFUSED("NVMe1R01  " PAIR);
    ASSERT_REFUSED("NVMe1R01 " HOST "  " SUBSYS);
    ASSERT_REFUSED("NVMe1R01 " PAIR " ");
    ASSERT_REFUSED("NVMe0R01 " PAIR " ");
    ASSERT_REFUSED("NVMe1R01 " PAIR "  " DIGEST_256);
    ASSERT_REFUSED("NVMe1R01 " PAIR " " DIGEST_256 " ");
    ASSERT_REFUSED("NVMe1R01 " PAIR " " DIGEST_256 " x");
    ASSERT_REFUSED("NVMe1R01\t" PAIR);
    ASSERT_REFUSED("NVMe1R01 " HOST "\t" SUBSYS);
    ASSERT_REFUSED("NVMe1R01 " PAIR "\n");
    ASSERT_REFUSED("NVMe1R01 " PAIR "\0");
    ASSERT_REFUSED("NVMe1R01 " HOST "\0" SUBSYS);
}

TEST(parse_names)
{
    ASSERT_REFUSED("NVMe0R01 " HOST);
    /* Names that the kernel takes, and tests of nvme-cli use. */
    ASSERT_TRUE(!refused("NVMe0R01 hostnqn subsysnqn", strlen("NVMe0R01 hostnqn subsysnqn")));
    ASSERT_TRUE(!refused("NVMe0R01 x NQN.io-1", strlen("NVMe0R01 x NQN.io-1")));
    ASSERT_REFUSED("NVMe0R01 " HOST ";x " SUBSYS);
    ASSERT_REFUSED("NVMe0R01 " HOST " " SUBSYS "\xc3\xbc");
}

TEST(parse_name_limits)
{
    char host[NQN_LENGTH_MAX + 1], subsys[NQN_LENGTH_MAX + 1], text[PSK_IDENTITY_MAX + 100];

    longest_names(host, subsys);
    (void)snprintf(text, sizeof(text), "NVMe0R01 %s %s", host, subsys);
    ASSERT_TRUE(!refused(text, strlen(text)));
    (void)snprintf(text, sizeof(text), "NVMe0R01 %sh %s", host, SUBSYS);
    ASSERT_TRUE(refused(text, strlen(text)));
    (void)snprintf(text, sizeof(text), "NVMe0R01 %s %ss", HOST, subsys);
    ASSERT_TRUE(refused(text, strlen(text)));
    (void)snprintf(text, sizeof(text), "NVMe1R02 %s %s %sx", host, subsys, DIGEST_384);
    ASSERT_EQ(strlen(text), PSK_IDENTITY_MAX + 1);
    ASSERT_TRUE(refused(text, strlen(text)));
}

TEST(parse_digests)
{
    ASSERT_REFUSED("NVMe0R01 " PAIR " " DIGEST_256);
    ASSERT_REFUSED("NVMe0R02 " PAIR " " DIGEST_384);
    ASSERT_REFUSED("NVMe1R01 " PAIR " " DIGEST_384);
    ASSERT_REFUSED("NVMe1R02 " PAIR " " DIGEST_256);
    ASSERT_REFUSED("NVMe1R01 " PAIR " x" DIGEST_256);
    ASSERT_REFUSED("NVMe1R01 " PAIR " x");
}

/* The part of a description that the kernel compares. */
TEST(split)
{
    static const char *const bad[] = {"",
                                      "NVMe1R01",
                                      "NVMe1R01 ",
                                      "NVMe1R01 h",
                                      "NVMe1R01 h ",
                                      "NVMe1R01  s",
                                      "NVMe1R01 h  s",
                                      "NVMe2R01 h s",
                                      "NVMe1G01 h s",
                                      "NVMe1R03 h s",
                                      "NVMe1R11 h s",
                                      "nvme1R01 h s"};
    PskSearch s;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_EQ(psk_identity_split(bad[i], strlen(bad[i]), &s), PSK_E_IDENTITY);
    ASSERT_OK(psk_identity_split("NVMe1R02 host sub more and more", 31, &s));
    ASSERT_EQ(s.version, 1);
    ASSERT_EQ(s.hash, PSK_HASH_SHA384);
    ASSERT_TRUE(s.hostnqn_length == 4 && memcmp(s.hostnqn, "host", 4) == 0);
    ASSERT_TRUE(s.word_length == 3 && memcmp(s.word, "sub", 3) == 0);
    ASSERT_OK(psk_identity_split("NVMe0R01 h s", 12, &s));
    ASSERT_TRUE(s.version == 0 && s.word_length == 1);
}
