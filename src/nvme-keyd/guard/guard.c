/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "keyring/ring-events.h"
#include "nvme-keyd/guard/backoff.h"
#include "nvme-keyd/guard/guard.h"

/*
 * A look is cheap while nothing changes (keyring/glance.h). If keys of ours are missing, or foreign
 * ones are there, the handler reconciles the ring, which puts back and displaces. Each time that it
 * did is a round. Too many rounds in a short time are a fight, and make looks rare: then reports of
 * the kernel are read and cause none.
 */
struct Guard {
    Publisher *publisher;
    sd_event *event; /* borrowed */
    sd_event_source *timer;
    sd_event_source *soon; /* a look that follows a report */
    uint64_t looked_usec;  /* the last look of that kind */
    RingEvents *events;    /* NULL if the kernel does not report */
    sd_event_source *reports;
    int32_t ring; /* serial of the ring for which events were wanted, or 0 */
    GuardHandler handler;
    void *userdata;
    Backoff backoff;
};

static void end_reports(Guard *g)
{
    g->reports = sd_event_source_disable_unref(g->reports);
    g->events = ring_events_close(g->events);
}

Guard *guard_free(Guard *g)
{
    if (!g)
        return NULL;
    end_reports(g);
    sd_event_source_disable_unref(g->soon);
    sd_event_source_disable_unref(g->timer);
    free(g);
    return NULL;
}

static void report(const Guard *g, GuardEvent event)
{
    if (g->handler)
        g->handler(event, g->userdata);
}

static void look(Guard *g)
{
    uint64_t displaced = publisher_displaced(g->publisher);
    RingChange change = publisher_look_for_change(g->publisher);

    if (change != RING_AS_IT_WAS)
        report(g, GUARD_CHANGED);
    if (change == RING_LACKS_OURS || publisher_displaced(g->publisher) > displaced) {
        if (backoff_note(&g->backoff, now_monotonic()))
            report(g, GUARD_FIGHTS);
    } else if (backoff_rest(&g->backoff, now_monotonic())) {
        report(g, GUARD_RESTS);
    }
}

static uint64_t pause_of(const Guard *g)
{
    return g->events && g->backoff.pause_usec == 0 ? GUARD_RARE_LOOK_USEC
                                                   : backoff_pause(&g->backoff);
}

static int on_timer(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Guard *g = userdata;

    look(g);
    /* The ring may be gone: an event comes with the next one. */
    if (!publisher_has_resident(g->publisher))
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return sd_event_source_set_time(source, now_monotonic() + pause_of(g));
}

static int on_soon(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Guard *g = userdata;

    g->looked_usec = now_monotonic();
    look(g);
    return 0;
}

static int on_reports(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t events,
                      void *userdata)
{
    Guard *g = userdata;
    uint64_t next = g->looked_usec + GUARD_REPORT_PAUSE_USEC, now = now_monotonic();
    int news = ring_events_read(g->events);

    /* The timer goes on. */
    if (news < 0 || news == RING_GONE)
        end_reports(g);
    if (news == RING_NO_NEWS || g->backoff.pause_usec > 0 || !guard_is_looking(g))
        return 0;
    (void)sd_event_source_set_time(g->soon, CONST_MAX(now, next));
    return sd_event_source_set_enabled(g->soon, SD_EVENT_ONESHOT);
}

/* Has the kernel report changes of a ring that is new, if it can. */
static void begin_reports(Guard *g)
{
    const Ring *ring;
    int r;

    if (g->ring == publisher_ring_serial(g->publisher))
        return;
    end_reports(g);
    ring = publisher_ring(g->publisher, &r);
    g->ring = publisher_ring_serial(g->publisher);
    if (!ring || ring_events_open(ring, &g->events) < 0)
        return;
    r = sd_event_add_io(g->event, &g->reports, ring_events_fd(g->events), EPOLLIN, on_reports, g);
    if (r < 0)
        end_reports(g);
}

int guard_new(sd_event *event, Publisher *p, Guard **ret)
{
    _cleanup_(guard_freep) Guard *g = calloc(1, sizeof(*g));
    int r;

    if (!g)
        return -ENOMEM;
    g->publisher = p;
    g->event = event;
    r = sd_event_add_time(event, &g->soon, CLOCK_MONOTONIC, 0, GUARD_REPORT_ACCURACY_USEC, on_soon,
                          g);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(g->soon, SD_EVENT_OFF);
    r = sd_event_add_time(event, &g->timer, CLOCK_MONOTONIC, 0, GUARD_ACCURACY_USEC, on_timer, g);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(g->timer, SD_EVENT_OFF);
    *ret = TAKE_PTR(g);
    return 0;
}

void guard_set_handler(Guard *g, GuardHandler handler, void *userdata)
{
    g->handler = handler;
    g->userdata = userdata;
}

void guard_update(Guard *g, bool wanted)
{
    bool looks = wanted && publisher_has_resident(g->publisher);

    if (looks)
        begin_reports(g);
    if (looks == guard_is_looking(g))
        return;
    if (!looks) {
        end_reports(g);
        g->ring = 0;
        (void)sd_event_source_set_enabled(g->soon, SD_EVENT_OFF);
    }
    (void)sd_event_source_set_time(g->timer, now_monotonic() + pause_of(g));
    (void)sd_event_source_set_enabled(g->timer, looks ? SD_EVENT_ON : SD_EVENT_OFF);
}

bool guard_is_looking(const Guard *g)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(g->timer, &enabled);
    return enabled != SD_EVENT_OFF;
}

bool guard_is_notified(const Guard *g)
{
    return g->events != NULL;
}

uint64_t guard_fight_pause(const Guard *g)
{
    return g->backoff.pause_usec;
}
