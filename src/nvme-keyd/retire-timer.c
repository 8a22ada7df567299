/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "basic/clock.h"
#include "basic/io.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyd/retire-timer.h"

/* The kernel sends no event when the clock is synchronised without a step, so this is polled. */
#define SYNCHRONIZED_POLL_USEC (10 * USEC_PER_SEC)

struct RetireTimer {
    const Manager *manager;
    RetireTimerDue due;
    void *userdata;
    sd_event_source *realtime;
    sd_event_source *boottime;
    sd_event_source *poll;
    sd_event_source *step;
};

RetireTimer *retire_timer_free(RetireTimer *t)
{
    if (!t)
        return NULL;
    sd_event_source_disable_unref(t->realtime);
    sd_event_source_disable_unref(t->boottime);
    sd_event_source_disable_unref(t->poll);
    sd_event_source_disable_unref(t->step); /* closes its descriptor */
    free(t);
    return NULL;
}

/* Arms a timer that never expires, but reports each step of the clock. Arming it again makes it
 * report the next step. */
static int watch_steps(int fd)
{
    const struct itimerspec never = {.it_value.tv_sec =
                                         sizeof(time_t) == 8 ? (time_t)INT64_MAX : INT32_MAX};

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
               ? -errno
               : 0;
}

static int on_step(sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
    RetireTimer *t = userdata;
    uint64_t n;
    ssize_t r = read(fd, &n, sizeof(n));

    if (r < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (watch_steps(fd) < 0)
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
    if (manager_deadline(t->manager) > 0)
        t->due(t->userdata);
    return 0;
}

static int on_deadline(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    const RetireTimer *t = userdata;

    t->due(t->userdata);
    return 0;
}

static int on_poll(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    RetireTimer *t = userdata;

    if (clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED))
        t->due(t->userdata);
    else
        retire_timer_update(t);
    return 0;
}

static int add_step(sd_event *event, RetireTimer *t)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = watch_steps(fd);
    if (r == 0)
        r = sd_event_add_io(event, &t->step, fd, EPOLLIN, on_step, t);
    if (r < 0) {
        close(fd);
        return r;
    }
    return sd_event_source_set_io_fd_own(t->step, true);
}

int retire_timer_new(sd_event *event, const Manager *m, RetireTimerDue due, void *userdata,
                     RetireTimer **ret)
{
    _cleanup_(retire_timer_freep) RetireTimer *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    t->manager = m;
    t->due = due;
    t->userdata = userdata;
    if ((r = sd_event_add_time(event, &t->realtime, CLOCK_REALTIME, 0, 0, on_deadline, t)) < 0 ||
        (r = sd_event_add_time(event, &t->boottime, CLOCK_BOOTTIME, 0, 0, on_deadline, t)) < 0 ||
        (r = sd_event_add_time(event, &t->poll, CLOCK_MONOTONIC, 0, 0, on_poll, t)) < 0 ||
        (r = add_step(event, t)) < 0)
        return r;
    retire_timer_update(t);
    *ret = TAKE_PTR(t);
    return 0;
}

static void arm(sd_event_source *source, uint64_t usec)
{
    (void)sd_event_source_set_enabled(source, usec > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    if (usec > 0)
        (void)sd_event_source_set_time(source, usec);
}

void retire_timer_update(RetireTimer *t)
{
    int polling = SD_EVENT_OFF;
    ManagerDue due;

    manager_due(t->manager, &due);
    arm(t->realtime, due.realtime_usec);
    arm(t->boottime, due.boottime_usec);
    /* A running poll is not put off by further calls. */
    (void)sd_event_source_get_enabled(t->poll, &polling);
    if (due.unsynchronized == 0 || polling == SD_EVENT_OFF)
        arm(t->poll, due.unsynchronized > 0 ? now_monotonic() + SYNCHRONIZED_POLL_USEC : 0);
}
