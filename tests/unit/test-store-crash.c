/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "store-fixture.h"
#include "test.h"

/*
 * A child changes a store and is killed at its n-th system call, once before and once after it
 * takes effect, for every n. Whatever is left opens, with all of the change or nothing of it.
 */

typedef struct Scenario {
    Fixture f;
    char work[96]; /* what the child works on: a copy of f.dir */
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];
} Scenario;

static void scenario_done(Scenario *x)
{
    fixture_done(&x->f);
}

static int scenario_new(Scenario *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = fixture_new(&x->f);

    if (r == 0)
        r = store_open(x->f.dir, &s, NULL);
    if (r == 0)
        r = fixture_add(s, "a", "first", x->a);
    if (r == 0)
        r = fixture_add(s, "b", "other", x->b);
    snprintf(x->work, sizeof(x->work), "%s/work", x->f.top);
    return r;
}

/* One transaction with everything in it. */
static int change(const Scenario *x, Store *s)
{
    _cleanup_(secret_freep) Secret *secret = secret_new_copy("second", 6);
    _cleanup_(json_putp) json_object *meta = fixture_meta("a2");
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    char c[STORE_ID_SIZE];
    int r = store_begin(s, &t);

    if (r == 0)
        r = store_replace(t, x->a, meta, secret);
    if (r == 0)
        r = store_remove(t, x->b);
    if (r == 0)
        r = store_add(t, meta, secret, c);
    return r < 0 ? r : store_commit(t);
}

/* What a child does; it stops itself where the killing is to begin. */
typedef void (*Deed)(const Scenario *x);

static void deed_change(const Scenario *x)
{
    Store *s;

    if (store_open(x->work, &s, NULL) < 0)
        _exit(2);
    (void)raise(SIGSTOP);
    _exit(change(x, s) < 0 ? 3 : 0);
}

static void deed_open(const Scenario *x)
{
    Store *s;

    (void)raise(SIGSTOP);
    _exit(store_open(x->work, &s, NULL) < 0 ? 4 : 0);
}

/* Runs deed up to its n-th stop at a system call and kills it there.
 * Returns 1, 0 when it came to its end before, -EPERM where nobody may trace, -EIO when it failed.
 */
static int run_and_kill(const Scenario *x, Deed deed, int n)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        deed(x);
    }
    for (int i = 0;; i++) {
        if (waitpid(pid, &status, 0) < 0)
            return -errno;
        if (WIFEXITED(status))
            return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == 77 ? -EPERM : -EIO;
        if (!WIFSTOPPED(status))
            return -EIO;
        if (i == n) {
            (void)kill(pid, SIGKILL);
            return waitpid(pid, &status, 0) < 0 ? -errno : 1;
        }
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
            return -errno;
    }
}

/* The state on the disk: 0 old, 1 new, 2 neither. */
static int read_state(const Scenario *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    size_t sound, broken;
    int r = store_open(x->work, &s, &detail);

    if (r < 0) {
        printf("# store_open: %s, %s\n", strerror(-r), detail);
        return 2;
    }
    fixture_count(s, &sound, &broken);
    if (broken > 0 || sound != 2)
        return 2;
    if (fixture_has(s, x->a, "a", "first") && fixture_has(s, x->b, "b", "other"))
        return 0;
    /* A change on top shows that the state is good to go on with. */
    return fixture_has(s, x->a, "a2", "second") && !store_find(s, x->b) &&
                   fixture_replace(s, x->a, "a3", NULL) == 0
               ? 1
               : 2;
}

TEST(killed_at_each_system_call_of_a_commit)
{
    _cleanup_(scenario_done) Scenario x = {.work = ""};
    int seen[2] = {0, 0}, n, r;
    char commit[128];

    ASSERT_OK(scenario_new(&x));
    snprintf(commit, sizeof(commit), "%s/commit.json", x.work);
    for (n = 1;; n++) {
        int state;

        fixture_remove(x.work);
        ASSERT_OK(fixture_copy(x.f.dir, x.work));
        r = run_and_kill(&x, deed_change, n);
        if (r == -EPERM)
            TEST_SKIP("may not trace");
        ASSERT_TRUE(r >= 0);
        /* Which stop is the commit point varies: so do the shards of the new record. */
        state = read_state(&x);
        if (state == 2)
            TEST_FAIL("killed at stop %d: neither the old nor the new state", n);
        seen[state]++;
        ASSERT_TRUE(access(commit, F_OK) < 0);
        ASSERT_TRUE(!fixture_has_new(x.work));
        if (r == 0) {
            ASSERT_EQ(state, 1);
            break;
        }
    }
    printf("# %d stops, %d times the old state, %d times the new one\n", n, seen[0], seen[1]);
    ASSERT_TRUE(seen[0] > 50 && seen[1] > 10);
}

/* The first copy in which the commit is a fact but nothing else has happened yet. */
static int make_interrupted(Scenario *x)
{
    char commit[128];

    snprintf(commit, sizeof(commit), "%s/commit.json", x->work);
    for (int n = 1;; n++) {
        int r;

        fixture_remove(x->work);
        r = fixture_copy(x->f.dir, x->work);
        if (r == 0)
            r = run_and_kill(x, deed_change, n);
        if (r <= 0)
            return r < 0 ? r : -EIO;
        if (access(commit, F_OK) == 0)
            break;
    }
    fixture_remove(x->f.dir);
    return rename(x->work, x->f.dir) < 0 ? -errno : 0;
}

TEST(killed_while_it_finishes_a_commit)
{
    _cleanup_(scenario_done) Scenario x = {.work = ""};
    int n, r;

    ASSERT_OK(scenario_new(&x));
    r = make_interrupted(&x);
    if (r == -EPERM)
        TEST_SKIP("may not trace");
    ASSERT_OK(r);
    for (n = 1;; n++) {
        fixture_remove(x.work);
        ASSERT_OK(fixture_copy(x.f.dir, x.work));
        r = run_and_kill(&x, deed_open, n);
        ASSERT_TRUE(r >= 0);
        ASSERT_EQ(read_state(&x), 1);
        if (r == 0)
            break;
    }
    printf("# %d stops\n", n);
    ASSERT_TRUE(n > 100);
}

TEST_MAIN(TEST_ENTRY(killed_at_each_system_call_of_a_commit),
          TEST_ENTRY(killed_while_it_finishes_a_commit))
