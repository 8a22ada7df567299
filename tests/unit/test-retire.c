/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/limits.h"
#include "keyd-fixture.h"
#include "nvme-keyd/retire-timer.h"

/* When a retiring key is removed, by a clock that may be wrong. */

#define RETIRE_USEC (3600 * USEC_PER_SEC)
#define DAY_USEC (24 * 3600 * USEC_PER_SEC)

static void set_clocks(uint64_t ahead, uint64_t uptime, bool synchronized)
{
    clock_ahead_usec = ahead;
    uptime_ahead_usec = uptime;
    clock_unsynchronized = !synchronized;
}

/* Rotates a target's key, and returns the id of the old one. */
static bool prepare(Fixture *f, char id[static STORE_ID_SIZE])
{
    Key *k;

    f->config.retire_usec = RETIRE_USEC;
    manager_set_config(f->m, &f->config);
    k = ring_make() ? fixture_add(f, SUBSYSTEM, KEY_ROLE_TARGET, 1) : NULL;
    if (!k)
        return false;
    strcpy(id, k->id);
    return fixture_rotate(f, id, 2) && ring_has_key(k, 1);
}

/* Returns 2 for a key in ring and store, 1 in the store alone, 0 for none, -1 for an impossible
 * state. */
static int looks(Fixture *f, const char *id)
{
    ReconcileResult s;
    const Key *k;
    int r = fixture_sync(f, &s);

    k = key_table_find(manager_keys(f->m), id);
    if (r < 0 || ring_size() != (k && k->serials[1] ? 3 : 2))
        return -1;
    if (!k)
        return fixture_keys(f) == 1 ? 0 : -1;
    return !fixture_keeps(f, k) ? -1 : k->serials[1] ? 2 : 1;
}

static unsigned n_commits;
static bool commits_fail;

/* Counts commits: each is one rename of the store. */
int renameat(int olddir, const char *old, int newdir, const char *new)
{
    n_commits++;
    if (commits_fail) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_renameat2, olddir, old, newdir, new, 0);
}

/* Any number of due keys is removed in one commit. */
TEST(one_commit)
{
    const char *names[] = {"nqn.x:a", "nqn.x:b", "nqn.x:c"};
    ReconcileResult s;
    FIXTURE;

    set_clocks(0, 0, true);
    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const Key *k = fixture_add(&f, names[i], KEY_ROLE_TARGET, (uint8_t)(i + 1));

        ASSERT_TRUE(k && fixture_rotate(&f, k->id, (uint8_t)(i + 11)));
    }
    ASSERT_EQ(fixture_keys(&f), 6);
    set_clocks(2 * RETIRE_USEC, 0, true);
    n_commits = 0;
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(fixture_keys(&f), 3);
    ASSERT_EQ(n_commits, 1);
    set_clocks(0, 0, true);
}

/* The clock is decades ahead until it is corrected. */
TEST(ahead)
{
    char id[STORE_ID_SIZE];
    ManagerDue due;
    FIXTURE;

    set_clocks(0, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(5000 * DAY_USEC, 0, false);
    ASSERT_EQ(looks(&f, id), 1);
    manager_due(f.m, &due);
    ASSERT_EQ(due.unsynchronized, 1);
    ASSERT_TRUE(!due.overdue && due.realtime_usec == 0 && due.boottime_usec > 0);
    /* Another instance, which knows only the store, comes to the same result. */
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 1);

    set_clocks(0, 0, true);
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(RETIRE_USEC, 0, true);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* The clock was right all the time, as was known at first and is again. */
TEST(synchronized_later)
{
    char id[STORE_ID_SIZE];
    ManagerDue due;
    FIXTURE;

    set_clocks(0, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(RETIRE_USEC, 0, false);
    ASSERT_EQ(looks(&f, id), 1);
    set_clocks(RETIRE_USEC, 0, true);
    ASSERT_EQ(looks(&f, id), 0);
    manager_due(f.m, &due);
    ASSERT_TRUE(!due.overdue && due.unsynchronized == 0 && due.boottime_usec == 0);
    set_clocks(0, 0, true);
}

/* The clock was years behind when the step was planned: the key stays for its time, which the
 * uptime tells, whether the clock is known to be right when it leaps or later. */
TEST(behind)
{
    char id[STORE_ID_SIZE];
    FIXTURE;

    set_clocks(0, 0, false);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(5000 * DAY_USEC, 0, false);
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(5001 * DAY_USEC, 0, true);
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(5001 * DAY_USEC + RETIRE_USEC / 2, RETIRE_USEC / 2, true);
    ASSERT_EQ(looks(&f, id), 2);
    /* From now on the wall clock is enough. */
    ASSERT_TRUE(fixture_restart(&f));
    set_clocks(5001 * DAY_USEC + RETIRE_USEC, 0, true);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* Each instance but the first learns of the plan from the store. */
TEST(behind_before_start)
{
    char id[STORE_ID_SIZE];
    FIXTURE;

    set_clocks(0, 0, false);
    ASSERT_TRUE(prepare(&f, id));
    /* It sees the leap. */
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(5000 * DAY_USEC, 0, false);
    ASSERT_EQ(looks(&f, id), 2);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 2);
    /* It finds another time, and cannot know how long that took. */
    set_clocks(9000 * DAY_USEC, 0, true);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(9000 * DAY_USEC + RETIRE_USEC - USEC_PER_SEC * 60, 0, true);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(9000 * DAY_USEC + RETIRE_USEC, 0, true);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* The store cannot be written when the clock leaps: the key stays, and the plan is written later.
 */
TEST(behind_read_only)
{
    char id[STORE_ID_SIZE];
    ReconcileResult s;
    FIXTURE;

    set_clocks(0, 0, false);
    ASSERT_TRUE(prepare(&f, id));
    commits_fail = true;
    set_clocks(5000 * DAY_USEC, 0, true);
    ASSERT_EQ(fixture_sync(&f, &s), -ENOSPC);
    ASSERT_TRUE(key_table_find(manager_keys(f.m), id)->serials[1] > 0);
    commits_fail = false;
    n_commits = 0;
    ASSERT_EQ(looks(&f, id), 2);
    ASSERT_EQ(looks(&f, id), 2);
    ASSERT_EQ(n_commits, 1);
    set_clocks(0, 0, true);
}

/* Plans that a person makes by a clock that is behind: a span stays a span, a date comes with the
 * clock. */
TEST(behind_by_hand)
{
    _cleanup_(freep) char *detail = NULL;
    char id[STORE_ID_SIZE];
    Key *k;
    FIXTURE;

    for (int from_now = 1; from_now >= 0; from_now--) {
        set_clocks(0, 0, false);
        k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
        ASSERT_TRUE(k);
        strcpy(id, k->id);
        ASSERT_OK(
            manager_plan(f.m, id, KEY_STEP_REMOVE, now_realtime() + DAY_USEC, from_now, &detail));
        set_clocks(2 * DAY_USEC, 0, true);
        ASSERT_TRUE(fixture_sync(&f, &(ReconcileResult){0}) == 0);
        ASSERT_EQ(key_table_find(manager_keys(f.m), id) != NULL, from_now);
        set_clocks(3 * DAY_USEC, 0, true);
        ASSERT_TRUE(fixture_sync(&f, &(ReconcileResult){0}) == 0);
        ASSERT_TRUE(!key_table_find(manager_keys(f.m), id));
    }
    set_clocks(0, 0, true);
}

/* The machine has been up as long as the key was to stay, so the clock no longer matters. */
TEST(set_back)
{
    char id[STORE_ID_SIZE];
    FIXTURE;

    set_clocks(DAY_USEC, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(0, RETIRE_USEC / 2, true);
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(0, RETIRE_USEC, true);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* As above without any synchronisation, as on a machine without a network clock. */
TEST(never_synchronized)
{
    char id[STORE_ID_SIZE];
    FIXTURE;

    set_clocks(DAY_USEC, 0, false);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(0, RETIRE_USEC, false);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* The clock was set back while no service ran: a new instance counts from its start, for RetireSec=
 * at most. */
TEST(set_back_before_start)
{
    char id[STORE_ID_SIZE];
    FIXTURE;

    set_clocks(DAY_USEC, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(0, 7 * DAY_USEC, true);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(looks(&f, id), 2);
    set_clocks(0, 7 * DAY_USEC + RETIRE_USEC, true);
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

/* A key that is over by the uptime is not published for a request of the kernel either. */
TEST(expired)
{
    char id[STORE_ID_SIZE];
    const Key *k;
    FIXTURE;

    set_clocks(DAY_USEC, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(key_is_publishable(k, now_realtime()));
    set_clocks(0, RETIRE_USEC, true);
    ASSERT_TRUE(ring_set_writable(false));
    ASSERT_TRUE(looks(&f, id) < 0);
    ASSERT_EQ(key_table_find(manager_keys(f.m), id), k);
    ASSERT_TRUE(!key_is_publishable(k, now_realtime()));
    ASSERT_TRUE(ring_set_writable(true));
    ASSERT_EQ(looks(&f, id), 0);
    set_clocks(0, 0, true);
}

static void on_due(void *userdata)
{
    (*(int *)userdata)++;
}

/* Runs the loop until the function was called, or for a while. */
static bool is_called(sd_event *event, const int *calls)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (*calls == 0 && now_monotonic() < end && sd_event_run(event, USEC_PER_SEC / 10) >= 0)
        ;
    return *calls > 0;
}

static void event_done(sd_event **event)
{
    sd_event_unref(*event);
}

/* The service notices the synchronisation of the clock by itself. */
TEST(timer_synchronized)
{
    _cleanup_(event_done) sd_event *event = NULL;
    _cleanup_(retire_timer_freep) RetireTimer *t = NULL;
    char id[STORE_ID_SIZE];
    int calls = 0;
    FIXTURE;

    ASSERT_TRUE(sd_event_new(&event) >= 0);
    ASSERT_OK(retire_timer_new(event, f.m, on_due, &calls, &t));
    set_clocks(0, 0, true);
    ASSERT_TRUE(prepare(&f, id));
    set_clocks(RETIRE_USEC, 0, false);
    ASSERT_EQ(looks(&f, id), 1);
    retire_timer_update(t);
    ASSERT_TRUE(sd_event_run(event, USEC_PER_SEC / 2) >= 0);
    ASSERT_EQ(calls, 0);
    set_clocks(RETIRE_USEC, 0, true);
    ASSERT_TRUE(is_called(event, &calls));
    set_clocks(0, 0, true);
    t = retire_timer_free(t);
}

/* By the uptime. */
TEST(timer_uptime)
{
    _cleanup_(event_done) sd_event *event = NULL;
    _cleanup_(retire_timer_freep) RetireTimer *t = NULL;
    int calls = 0;
    Key *k;
    FIXTURE;

    set_clocks(0, 0, true);
    f.config.retire_usec = USEC_PER_SEC;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE(sd_event_new(&event) >= 0);
    ASSERT_OK(retire_timer_new(event, f.m, on_due, &calls, &t));
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && fixture_rotate(&f, k->id, 2));
    retire_timer_update(t);
    ASSERT_TRUE(is_called(event, &calls));
    t = retire_timer_free(t);
}
