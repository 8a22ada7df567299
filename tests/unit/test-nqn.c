/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>

#include "basic/text.h"
#include "psk/limits.h"
#include "psk/nqn.h"
#include "test.h"

/* "nqn.2014-08.org.x:aaa..." of length characters. */
static void make_name(char *ret, size_t length)
{
    memset(ret, 'a', length);
    memcpy(ret, "nqn.2014-08.org.x:", length < 18 ? length : 18);
    ret[length] = '\0';
}

/* Checks a copy without a terminator, so that a sanitizer sees a read past its end. */
static NqnFault check(const char *name, size_t length, size_t *ret_position)
{
    _cleanup_(freep) char *copy = malloc(length);

    if (!copy)
        return NQN_TOO_LONG;
    memcpy(copy, name, length);
    return nqn_check(copy, length, ret_position);
}

TEST(lengths)
{
    char name[600];

    for (size_t length = 0; length < sizeof(name); length++) {
        NqnFault expected = length < 5 ? NQN_TOO_SHORT : length > 223 ? NQN_TOO_LONG : NQN_OK;
        size_t position = 9999;

        make_name(name, length);
        ASSERT_EQ(check(name, length, &position), expected);
        ASSERT_EQ(position, length > 223 ? 223 : length);
    }
}

TEST(real_names)
{
    static const char *const good[] = {
        "nqn.2014-08.org.nvmexpress:uuid:befdec4c-2234-11b2-a85c-ca77c773af36",
        "nqn.2014-08.org.nvmexpress.discovery",
        "nqn.1992-08.com.netapp:sn.2f7701d3542f11efb872005056bba694:subsystem.ss1",
        "nqn.2016-06.io.spdk:cnode1",
        "nqn.io-1",
        "nqn.x",
        "nqn.~!\"#$%&'()*+,-./:<=>?@[\\]^_`{|}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        size_t position;

        if (nqn_check(good[i], strlen(good[i]), &position) != NQN_OK)
            TEST_FAIL("%s is refused at %zu", good[i], position);
    }
}

TEST(every_byte_at_every_place)
{
    char name[NQN_LENGTH_MAX + 2];

    for (size_t place = 0; place <= NQN_LENGTH_MAX; place++)
        for (int c = 0; c < 256; c++) {
            bool allowed = c > ' ' && c < 0x7f && c != ';';
            NqnFault fault, expected = allowed ? NQN_OK : NQN_CHARACTER;
            size_t position;

            make_name(name, NQN_LENGTH_MAX + (place == NQN_LENGTH_MAX));
            if (place < 4 && allowed && c != "nqn."[place])
                expected = NQN_PREFIX;
            if (place == NQN_LENGTH_MAX)
                expected = NQN_TOO_LONG;
            name[place] = (char)c;
            fault = check(name, NQN_LENGTH_MAX + (place == NQN_LENGTH_MAX), &position);
            if (fault != expected || position != (fault ? place : NQN_LENGTH_MAX))
                TEST_FAIL("byte 0x%02x at %zu: fault %d at %zu", (unsigned)c, place, (int)fault,
                          position);
        }
}

TEST(first_fault_counts)
{
    char name[400];
    size_t position;

    make_name(name, 399);
    name[250] = ' ';
    ASSERT_EQ(nqn_check(name, 399, &position), NQN_TOO_LONG);
    ASSERT_EQ(position, 223);
    name[100] = ';';
    ASSERT_EQ(nqn_check(name, 399, &position), NQN_CHARACTER);
    ASSERT_EQ(position, 100);
    name[1] = 'Q';
    ASSERT_EQ(nqn_check(name, 399, &position), NQN_PREFIX);
    ASSERT_EQ(position, 1);
}

TEST(prefix_case)
{
    static const char *const bad[] = {"NQN.x1", "Nqn.x1", "nqN.x1", "nqn:x1", "iqn.x1", "nqm.x"};
    static const size_t places[] = {0, 0, 2, 3, 0, 2};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        size_t position;

        ASSERT_EQ(nqn_check(bad[i], strlen(bad[i]), &position), NQN_PREFIX);
        ASSERT_EQ(position, places[i]);
    }
}

/* What the kernel takes is more than what a person should choose. */
TEST(usable)
{
    static const char *const names[] = {"x", "blktests-subsystem-1", "iqn.x1", "nqn.", "nqn.a:b"};
    char name[300];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ASSERT_TRUE(nqn_is_usable(names[i], strlen(names[i])));
    for (int c = 0; c < 256; c++) {
        const char text[] = {'x', (char)c, 'y'};
        bool good = c > ' ' && c < 0x7f && c != ';';

        if (nqn_is_usable(text, sizeof(text)) != good)
            TEST_FAIL("byte 0x%02x", (unsigned)c);
    }
    ASSERT_TRUE(!nqn_is_usable("", 0));
    make_name(name, 223);
    ASSERT_TRUE(nqn_is_usable(name, 223));
    make_name(name, 224);
    ASSERT_TRUE(!nqn_is_usable(name, 224));
}

/* True if a bad name gives this text. */
static bool says(const char *name, const char *expected)
{
    _cleanup_(freep) char *text = NULL;

    if (nqn_check_text(name, "host NQN", &text) != -EINVAL || !text)
        return false;
    if (strcmp(text, expected) != 0)
        printf("# %s\n", text);
    return strcmp(text, expected) == 0;
}

TEST(texts)
{
    char name[300], *untouched = name;

    ASSERT_TRUE(says("", "host NQN \"\" is too short: \"nqn.\" and a name after it"));
    ASSERT_TRUE(says("nqn.", "host NQN \"nqn.\" is too short: \"nqn.\" and a name after it"));
    ASSERT_TRUE(says("NQN.io-1", "host NQN does not begin with \"nqn.\" (character 1)"));
    ASSERT_TRUE(says("nqn;io-1", "host NQN has ';' at character 4, which is not allowed"));
    ASSERT_TRUE(
        says("nqn.a b", "host NQN has a blank (0x20) at character 6, which is not allowed"));
    ASSERT_TRUE(says("nqn.ab;", "host NQN has ';' at character 7, which is not allowed"));
    ASSERT_TRUE(
        says("nqn.ab\n", "host NQN has a byte (0x0a) at character 7, which is not allowed"));
    ASSERT_TRUE(
        says("nqn.\x7f", "host NQN has a byte (0x7f) at character 5, which is not allowed"));
    ASSERT_TRUE(
        says("nqn.\xc3\xbc", "host NQN has a byte (0xc3) at character 5, which is not allowed"));
    make_name(name, 224);
    ASSERT_TRUE(says(name, "host NQN has 224 characters, at most 223 are allowed"));
    make_name(name, 223);
    ASSERT_OK(nqn_check_text(name, "host NQN", &untouched));
    ASSERT_TRUE(untouched == name);
}

/* The text can be shown on a terminal, whatever the name contains. */
TEST(texts_are_printable)
{
    for (int place = 0; place < 8; place++)
        for (int c = 0; c < 256; c++) {
            _cleanup_(freep) char *text = NULL;
            char name[] = "nqn.abcd";
            int r;

            name[place] = (char)c;
            r = nqn_check_text(name, "subsystem NQN", &text);
            ASSERT_TRUE(r == 0 || r == -EINVAL);
            ASSERT_EQ(text != NULL, r != 0);
            ASSERT_TRUE(!text ||
                        (text_is_printable(text) && strstr(text, "subsystem NQN") == text));
        }
}
