/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A test file is a list of TEST(name) { ... } and prints TAP. The tests run in the order of the
 * file. Arguments of the program are --list, or the names of those to run. An ASSERT_*() that fails
 * prints its place and ends that test; the others go on.
 */
typedef struct Test {
    const char *name;
    void (*fn)(void);
    struct Test *next;
} Test;

extern bool test_failed;
extern const char *test_skipped;

/* Registers a test, in the order of the calls. */
void test_register(Test *test);

#define TEST(id)                                                                                   \
    static void test_##id(void);                                                                   \
    __attribute__((constructor)) static void register_##id(void)                                   \
    {                                                                                              \
        static Test test = {.name = #id, .fn = test_##id};                                         \
        test_register(&test);                                                                      \
    }                                                                                              \
    static void test_##id(void)

#define TEST_FAIL(...)                                                                             \
    do {                                                                                           \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        test_failed = true;                                                                        \
        return;                                                                                    \
    } while (0)

#define TEST_SKIP(reason)                                                                          \
    do {                                                                                           \
        test_skipped = (reason);                                                                   \
        return;                                                                                    \
    } while (0)

#define ASSERT_TRUE(x)                                                                             \
    do {                                                                                           \
        if (!(x))                                                                                  \
            TEST_FAIL("%s is false", #x);                                                          \
    } while (0)

#define ASSERT_OK(x) ASSERT_EQ(x, 0)

#define ASSERT_EQ(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            TEST_FAIL("%s is %lld, not %lld (%s)", #a, a_, b_, #b);                                \
    } while (0)

#define ASSERT_STR(a, b)                                                                           \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (!a_ || !b_ || strcmp(a_, b_) != 0)                                                     \
            TEST_FAIL("%s is \"%s\", not \"%s\"", #a, a_ ? a_ : "(null)", b_ ? b_ : "(null)");     \
    } while (0)

#define ASSERT_MEM(a, b, n)                                                                        \
    do {                                                                                           \
        if (memcmp(a, b, n) != 0)                                                                  \
            TEST_FAIL("%s and %s differ", #a, #b);                                                 \
    } while (0)
