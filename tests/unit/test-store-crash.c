/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "credstore/store.h"
#include "stepper.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "store-steps.h"
#include "test.h"
#include "tree.h"

/*
 * A child changes a store and is killed at its nth system call, once before and once after the call
 * takes effect, for every n. The store must then open, with the whole change or none of it.
 */

typedef struct Scenario {
    Fixture f;
    char work[96]; /* the child works on this copy of f.dir */
    Subject subject;
    const NamedStep *step;
    char *before, *after; /* content of the store, see steps_dump() */
} Scenario;

static void scenario_done(Scenario *x)
{
    free(x->before);
    free(x->after);
    fixture_done(&x->f);
}

static int copy(const Scenario *x)
{
    tree_remove(x->work);
    return tree_copy(x->f.dir, x->work);
}

static int scenario_new(Scenario *x)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = steps_new(&x->f, &x->subject, &s);

    if (r == 0)
        x->before = steps_dump(s, false);
    snprintf(x->work, sizeof(x->work), "%s/work", x->f.top);
    return r;
}

/* Takes the step once, to learn its result. */
static int scenario_choose(Scenario *x, const NamedStep *step)
{
    Subject subject = x->subject;
    _cleanup_(store_closep) Store *s = NULL;
    int r = copy(x);

    x->step = step;
    if (r == 0)
        r = direct_open(x->work, &s, NULL);
    if (r == 0)
        r = step->step(&subject, s);
    if (r < 0)
        return r;
    free(x->after);
    x->after = steps_dump(s, false);
    return x->after ? 0 : -EIO;
}

static int deed_step(void *userdata)
{
    Scenario *x = userdata;
    Store *s;

    if (direct_open(x->work, &s, NULL) < 0)
        return -EIO;
    stepper_begin();
    return x->step->step(&x->subject, s);
}

static int deed_open(void *userdata)
{
    const Scenario *x = userdata;
    Store *s;

    stepper_begin();
    return direct_open(x->work, &s, NULL);
}

/* Returns the state on the disk: 0 for old, 1 for new, 2 for neither. */
static int read_state(const Scenario *x)
{
    _cleanup_(freep) char *detail = NULL, *now = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = direct_open(x->work, &s, &detail), state;
    char id[STORE_ID_SIZE];

    if (r < 0) {
        printf("# direct_open: %s, %s\n", strerror(-r), detail);
        return 2;
    }
    now = steps_dump(s, false);
    if (!now || (strcmp(now, x->before) != 0 && strcmp(now, x->after) != 0)) {
        printf("# %s\n", now ? now : "a broken record");
        return 2;
    }
    state = strcmp(now, x->after) == 0;
    /* A further change must be possible. */
    return fixture_add(s, "z", "on top", id) == 0 && !fixture_has_new(x->work) ? state : 2;
}

/* Kills at each stop. Returns the number of kills; -EPERM if tracing is refused. */
static int kill_at_each(Scenario *x, int seen[static 2])
{
    for (int n = 1, kills = 0;; n++) {
        int r = copy(x), state;

        if (r == 0)
            r = stepper_kill(deed_step, x, n);
        if (r < 0)
            return r;
        state = read_state(x);
        if (state == 2 || (r == 0 && state != 1)) {
            printf("# %s: killed at stop %d: neither the old nor the new state\n", x->step->name,
                   n);
            return -EIO;
        }
        if (r == 0)
            return kills;
        seen[state]++;
        kills++;
    }
}

TEST(killed_at_each_system_call_of_each_change)
{
    _cleanup_(scenario_done) Scenario x = {.work = ""};
    int all = 0;

    ASSERT_OK(scenario_new(&x));
    for (size_t i = 0; i < ARRAY_SIZE(named_steps); i++) {
        const NamedStep *step = &named_steps[i];
        int seen[2] = {0, 0}, n;

        ASSERT_OK(scenario_choose(&x, step));
        n = kill_at_each(&x, seen);
        if (n == -EPERM)
            TEST_SKIP("may not trace");
        ASSERT_TRUE(n > 0);
        printf("# %s: %d kills, %d times the old state, %d times the new one\n", step->name, n,
               seen[0], seen[1]);
        /* Without ids a resealed slot looks as before. */
        ASSERT_TRUE(strcmp(x.before, x.after) == 0 || (seen[0] > 8 && seen[1] > 2));
        all += n;
    }
    printf("# %d crash points\n", all);
}

/* Takes the last copy that has the whole new state on the disk, but not yet in the place of the old
 * one. */
static int make_interrupted(Scenario *x)
{
    char kept[sizeof(x->work) + 8];

    (void)snprintf(kept, sizeof(kept), "%s.kept", x->work);
    for (int n = 1;; n++) {
        int r = copy(x);

        if (r == 0)
            r = stepper_kill(deed_step, x, n);
        if (r <= 0)
            return r < 0 ? r : -EIO;
        if (fixture_has_new(x->work)) {
            /* Kept as it is: a second run need not make the same system calls. */
            tree_remove(kept);
            if (rename(x->work, kept) < 0)
                return -errno;
        } else if (access(kept, F_OK) == 0) {
            break;
        }
    }
    tree_remove(x->f.dir);
    return rename(kept, x->f.dir) < 0 ? -errno : 0;
}

TEST(killed_while_it_opens_after_that)
{
    static const NamedStep step = {"all kinds at once", step_all_kinds};
    _cleanup_(scenario_done) Scenario x = {.work = ""};
    int n, r;

    ASSERT_OK(scenario_new(&x));
    ASSERT_OK(scenario_choose(&x, &step));
    r = make_interrupted(&x);
    if (r == -EPERM)
        TEST_SKIP("may not trace");
    ASSERT_OK(r);
    ASSERT_TRUE(fixture_has_new(x.f.dir));
    for (n = 1;; n++) {
        ASSERT_OK(copy(&x));
        r = stepper_kill(deed_open, &x, n);
        ASSERT_TRUE(r >= 0);
        ASSERT_EQ(read_state(&x), 0);
        if (r == 0)
            break;
    }
    printf("# %d crash points\n", n - 1);
    ASSERT_TRUE(n > 20);
}
