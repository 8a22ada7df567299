/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"
#include "basic/secret.h"

bool test_failed;
const char *test_skipped;

int test_run(const Test *tests, size_t n)
{
    int failed = 0;

    if (secret_memory_init() < 0) {
        printf("Bail out! cannot lock memory for secrets\n");
        return 1;
    }
    printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        test_failed = false;
        test_skipped = NULL;
        tests[i].fn();
        failed += test_failed;
        printf("%sok %zu - %s%s%s\n", test_failed ? "not " : "", i + 1, tests[i].name,
               test_skipped ? " # SKIP " : "", test_skipped ? test_skipped : "");
        fflush(stdout);
    }
    return failed > 0;
}
