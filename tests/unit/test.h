/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A test file is a list of TEST(name) { ... } and a TEST_MAIN() with the names; it prints TAP.
 * An ASSERT_* that fails says where and ends that test; the others go on.
 */
typedef struct Test {
    const char *name;
    void (*fn)(void);
} Test;

extern bool test_failed;
extern const char *test_skipped;

#define TEST(name) static void test_##name(void)

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

int test_run(const Test *tests, size_t n);

#define TEST_ENTRY(name)                                                                           \
    {                                                                                              \
#name, test_##name                                                                         \
    }

#define TEST_MAIN(...)                                                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        static const Test tests[] = {__VA_ARGS__};                                                 \
        return test_run(tests, sizeof(tests) / sizeof(tests[0]));                                  \
    }
