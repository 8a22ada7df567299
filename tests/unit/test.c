/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "basic/secret.h"
#include "nvme-keyd/vault/seal-job.h"
#include "test.h"

bool test_failed;
const char *test_skipped;
static Test *first, **end = &first;

void test_register(Test *test)
{
    *end = test;
    end = &test->next;
}

/* The program may have inherited ignored signals, for example from nohup(1). The processes that
 * tests start and kill must not. */
static void reset_signals(void)
{
    struct sigaction action;

    for (int s = 1; s < NSIG; s++)
        if (sigaction(s, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            (void)signal(s, SIG_DFL);
}

static bool is_chosen(const Test *test, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, test->name) == 0)
            return true;
    return false;
}

static size_t count(char **names)
{
    size_t n = 0;

    for (const Test *t = first; t; t = t->next)
        n += is_chosen(t, names);
    return n;
}

static void list(void)
{
    for (const Test *t = first; t; t = t->next)
        printf("%s\n", t->name);
}

static bool run(const Test *test, size_t number)
{
    test_failed = false;
    test_skipped = NULL;
    test->fn();
    printf("%sok %zu - %s%s%s\n", test_failed ? "not " : "", number, test->name,
           test_skipped ? " # SKIP " : "", test_skipped ? test_skipped : "");
    fflush(stdout);
    return !test_failed;
}

int main(int argc, char **argv)
{
    char **names = argv + 1;
    size_t n = 0;
    bool failed = false;

    /* The test program is its own seal helper, as the daemon is. */
    if (argc == 2 && strcmp(*names, SEAL_JOB_OPTION) == 0)
        return seal_job_main();
    if (argc == 2 && strcmp(*names, "--list") == 0) {
        list();
        return 0;
    }
    for (int i = 0; i < argc - 1; i++)
        if (count((char *[]){names[i], NULL}) == 0) {
            fprintf(stderr, "no test \"%s\", see --list\n", names[i]);
            return 2;
        }
    reset_signals();
    if (secret_memory_init() < 0) {
        printf("Bail out! cannot lock memory for secrets\n");
        return 1;
    }
    printf("1..%zu\n", count(names));
    for (const Test *t = first; t; t = t->next)
        if (is_chosen(t, names))
            failed |= !run(t, ++n);
    return failed;
}
