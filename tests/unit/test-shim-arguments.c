/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "test.h"

/* The shim links no library, so this test includes its file. */
#include "request-key-shim/arguments.c"

#define MANY (KEY_DESCRIPTION_MAX + 2)

/* A command line of up to 7 words, ended by NULL. */
static int parse(ShimArguments *ret, const char *const words[static 8])
{
    char *argv[8];
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    memset(ret, 0xaa, sizeof(*ret));
    return shim_arguments_parse(argc, argv, ret);
}

#define PARSE(ret, ...) parse(ret, (const char *const[8]){"shim", __VA_ARGS__})

TEST(good)
{
    ShimArguments a;

    ASSERT_OK(PARSE(&a, "123456", "0", "user", "nvme-tls-psk:a b c"));
    ASSERT_EQ(a.key, 123456);
    ASSERT_EQ(a.uid, 0);
    ASSERT_STR(a.type, "user");
    ASSERT_STR(a.description, "nvme-tls-psk:a b c");
    ASSERT_STR(a.callout, "");
    ASSERT_OK(PARSE(&a, "2147483647", "4294967294", "t", "\x80"));
    ASSERT_EQ(a.key, INT32_MAX);
    ASSERT_EQ(a.uid, UINT32_MAX - 1);
    ASSERT_OK(PARSE(&a, "0001", "00", "psk", "-"));
    ASSERT_EQ(a.key, 1);
}

TEST(callout)
{
    ShimArguments a;

    ASSERT_OK(PARSE(&a, "7", "0", "user", "a", ""));
    ASSERT_STR(a.description, "a");
    ASSERT_STR(a.callout, "");
    ASSERT_OK(PARSE(&a, "7", "0", "user", "a", " version=1  hash=sha384\n\xff"));
    ASSERT_STR(a.callout, " version=1  hash=sha384\n\xff");
}

/* A command line that is bad after the key still gives the key, so that it can be rejected. */
TEST(bad_behind_key)
{
    static const char *const cases[][8] = {
        {"shim", "7", NULL},
        {"shim", "7", "0", NULL},
        {"shim", "7", "0", "user", NULL},
        {"shim", "7", "0", "user", "a", "b", "c", NULL},
        {"shim", "7", "0", "user", "a", "", "", NULL},
        {"shim", "7", "", "user", "a", NULL},
        {"shim", "7", "-1", "user", "a", NULL},
        {"shim", "7", "+0", "user", "a", NULL},
        {"shim", "7", " 0", "user", "a", NULL},
        {"shim", "7", "0 ", "user", "a", NULL},
        {"shim", "7", "0x0", "user", "a", NULL},
        {"shim", "7", "root", "user", "a", NULL},
        {"shim", "7", "4294967296", "user", "a", NULL},
        {"shim", "7", "18446744073709551616", "user", "a", NULL},
        {"shim", "7", "0", "", "a", NULL},
        {"shim", "7", "0", "user", "", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ShimArguments a;

        if (parse(&a, cases[i]) != -EINVAL || a.key != 7 || a.type || a.description || a.callout)
            TEST_FAIL("case %zu", i);
    }
}

/* It also gives the uid, or UID_UNKNOWN, because another user must be refused whatever else is
 * wrong. */
TEST(bad_behind_uid)
{
    ShimArguments a;

    ASSERT_EQ(PARSE(&a, "7", "1000", "user", ""), -EINVAL);
    ASSERT_EQ(a.uid, 1000);
    ASSERT_EQ(PARSE(&a, "7", "0", "user"), -EINVAL);
    ASSERT_EQ(a.uid, 0);
    /* The kernel prints uids from 2^31 on as negative numbers. */
    ASSERT_OK(PARSE(&a, "7", "-1294967296", "user", "a"));
    ASSERT_EQ(a.uid, 3000000000u);
    ASSERT_OK(PARSE(&a, "7", "-2147483648", "user", "a"));
    ASSERT_EQ(a.uid, 2147483648u);
    ASSERT_EQ(PARSE(&a, "7", "-2147483649", "user", "a"), -EINVAL);
    ASSERT_EQ(a.uid, UID_UNKNOWN);
    ASSERT_EQ(PARSE(&a, "7", "x", "user", "a"), -EINVAL);
    ASSERT_EQ(a.uid, UID_UNKNOWN);
    ASSERT_EQ(PARSE(&a, "7", "4294967295", "user", "a"), -EINVAL);
    ASSERT_EQ(a.uid, UID_UNKNOWN);
    ASSERT_EQ(PARSE(&a, "7", NULL), -EINVAL);
    ASSERT_EQ(a.uid, UID_UNKNOWN);
}

TEST(bad_key)
{
    static const char *const keys[] = {
        "",
        "0",
        "-1",
        "+1",
        "1 ",
        " 1",
        "x",
        "1x",
        "0x1",
        "1e3",
        "00",
        "2147483648",
        "4294967297",
        "18446744073709551617",
        "99999999999999999999999999",
    };
    ShimArguments a;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (PARSE(&a, keys[i], "0", "user", "a") != -EINVAL || a.key != 0)
            TEST_FAIL("\"%s\" is taken for key %d", keys[i], a.key);
}

TEST(no_words)
{
    char *nothing[] = {NULL};
    ShimArguments a = {.key = 1};

    ASSERT_EQ(shim_arguments_parse(0, nothing, &a), -EINVAL);
    ASSERT_EQ(a.key, 0);
    ASSERT_EQ(PARSE(&a, NULL), -EINVAL);
    ASSERT_EQ(a.key, 0);
}

/* The longest words that fit into a packet, and one byte more. */
TEST(limits)
{
    char type[UPCALL_TYPE_MAX + 2], description[MANY], callout[UPCALL_CALLOUT_MAX + 2];
    ShimArguments a;

    memset(type, 't', sizeof(type));
    memset(description, 'd', sizeof(description));
    memset(callout, 'c', sizeof(callout));
    type[UPCALL_TYPE_MAX] = '\0';
    description[KEY_DESCRIPTION_MAX] = '\0';
    callout[UPCALL_CALLOUT_MAX] = '\0';
    ASSERT_OK(PARSE(&a, "7", "0", type, description, callout));
    callout[UPCALL_CALLOUT_MAX] = 'c';
    callout[UPCALL_CALLOUT_MAX + 1] = '\0';
    ASSERT_EQ(PARSE(&a, "7", "0", type, description, callout), -EINVAL);
    ASSERT_EQ(a.key, 7);
    type[UPCALL_TYPE_MAX] = 't';
    type[UPCALL_TYPE_MAX + 1] = '\0';
    ASSERT_EQ(PARSE(&a, "7", "0", type, description), -EINVAL);
    ASSERT_EQ(a.key, 7);
    description[KEY_DESCRIPTION_MAX] = 'd';
    description[KEY_DESCRIPTION_MAX + 1] = '\0';
    ASSERT_EQ(PARSE(&a, "7", "0", "user", description), -EINVAL);
    ASSERT_EQ(a.key, 7);
}
