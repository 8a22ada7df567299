/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "basic/secret.h"
#include "test.h"

bool test_failed;
const char *test_skipped;

/* What was ignored when the program was started, by nohup(1) for example, is not ignored by the
 * processes that tests start and kill. */
static void reset_signals(void)
{
    struct sigaction action;

    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            (void)signal(s, SIG_DFL);
}

int test_run(const Test *tests, size_t n)
{
    int failed = 0;

    reset_signals();

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
