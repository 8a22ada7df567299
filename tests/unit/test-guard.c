/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/eventfd.h>

#include "keyd-fixture.h"
#include "keyring/ring-events.h"
#include "nvme-keyd/guard/guard.h"
#include "nvme-keyd/guard/limits.h"

/* The guard on a kernel that reports changes of the ring, which the functions here imitate. */

struct RingEvents {
    int fd;
};

static struct RingEvents imitation;
static int open_error, next_news;
static unsigned n_open, n_closed;

int ring_events_open(_unused_ const Ring *r, RingEvents **ret)
{
    n_open++;
    if (open_error < 0)
        return open_error;
    imitation.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *ret = &imitation;
    return 0;
}

RingEvents *ring_events_close(RingEvents *e)
{
    if (e) {
        n_closed++;
        close(e->fd);
    }
    return NULL;
}

int ring_events_fd(const RingEvents *e)
{
    return e->fd;
}

int ring_events_read(const RingEvents *e)
{
    eventfd_t n;

    (void)eventfd_read(e->fd, &n);
    return next_news;
}

static int report(int news)
{
    next_news = news;
    return eventfd_write(imitation.fd, 1);
}

typedef struct Watched {
    Guard *g;
    unsigned changes;
    uint64_t begin; /* of the pause between two looks */
} Watched;

static void watched_done(const Watched *w)
{
    guard_free(w->g);
}

static void on_event(GuardEvent event, void *userdata)
{
    Watched *w = userdata;

    w->changes += event == GUARD_CHANGED;
}

static int watch(Fixture *f, Watched *w, int error)
{
    ReconcileResult s;
    int r = fixture_add(f, SUBSYSTEM, KEY_ROLE_HOST, 1) ? fixture_sync(f, &s) : -EIO;

    open_error = error;
    n_open = n_closed = 0;
    /* Its first look is over: it is the one that reports everything. */
    (void)!publisher_look_for_change(manager_publisher(f->m));
    if (r == 0)
        r = guard_new(f->event, manager_publisher(f->m), &w->g);
    if (r < 0)
        return r;
    guard_set_handler(w->g, on_event, w);
    w->begin = now_monotonic();
    guard_update(w->g, true);
    return 0;
}

/* Runs the loop for what is due, without waiting. */
static void run_due(const Fixture *f)
{
    while (sd_event_run(f->event, 0) > 0)
        ;
}

/* Waits for the look that follows a report. The look of the timer is seconds away. */
static bool sees_change(const Fixture *f, const Watched *w)
{
    for (unsigned i = 0; i < 20 && w->changes == 0; i++)
        if (sd_event_run(f->event, USEC_PER_SEC / 10) < 0)
            return false;
    return w->changes > 0;
}

TEST(reports)
{
    _cleanup_(watched_done) Watched w = {NULL, 0, 0};
    FIXTURE;

    ASSERT_OK(watch(&f, &w, 0));
    ASSERT_TRUE(guard_is_looking(w.g) && guard_is_notified(w.g));
    ASSERT_EQ(n_open, 1);
    /* Nothing new, or nothing of ours: no change. */
    ASSERT_OK(report(RING_NO_NEWS));
    run_due(&f);
    ASSERT_EQ(w.changes, 0);

    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_OK(report(RING_CHANGED));
    ASSERT_TRUE(sees_change(&f, &w));
    if (now_monotonic() - w.begin >= GUARD_RARE_LOOK_USEC)
        TEST_SKIP("the machine is too slow to tell this look from that of the timer");

    /* An update of the daemon opens no second one. */
    guard_update(w.g, true);
    ASSERT_EQ(n_open, 1);
    guard_update(w.g, false);
    ASSERT_TRUE(!guard_is_notified(w.g));
    ASSERT_EQ(n_closed, 1);
    guard_update(w.g, true);
    ASSERT_EQ(n_open, 2);
}

/* The looks of the timer stay when reports end. */
TEST(reports_end)
{
    _cleanup_(watched_done) Watched w = {NULL, 0, 0};
    FIXTURE;

    ASSERT_OK(watch(&f, &w, 0));
    ASSERT_OK(report(-EBADMSG));
    run_due(&f);
    ASSERT_TRUE(guard_is_looking(w.g) && !guard_is_notified(w.g));
    ASSERT_EQ(n_closed, 1);
    guard_update(w.g, true);
    ASSERT_EQ(n_open, 1);
}

TEST(no_reports)
{
    _cleanup_(watched_done) Watched w = {NULL, 0, 0};
    FIXTURE;

    ASSERT_OK(watch(&f, &w, -ENOPKG));
    ASSERT_TRUE(guard_is_looking(w.g) && !guard_is_notified(w.g));
    guard_update(w.g, true);
    ASSERT_EQ(n_open, 1);
    ASSERT_EQ(n_closed, 0);
}
