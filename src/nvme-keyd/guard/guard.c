/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "nvme-keyd/guard/backoff.h"
#include "nvme-keyd/guard/guard.h"

/*
 * A look is cheap while nothing changes (keyring/glance.h). If keys of ours are missing, or foreign
 * ones are there, the handler reconciles the ring, which puts back and displaces. Each time that it
 * did is a round. Too many rounds in a short time are a fight, and make looks rare.
 */
struct Guard {
    Publisher *publisher;
    sd_event_source *timer;
    GuardHandler handler;
    void *userdata;
    Backoff backoff;
};

Guard *guard_free(Guard *g)
{
    if (!g)
        return NULL;
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

static int on_timer(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Guard *g = userdata;

    look(g);
    /* The ring may be gone: an event comes with the next one. */
    if (!publisher_has_resident(g->publisher))
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return sd_event_source_set_time(source, now_monotonic() + backoff_pause(&g->backoff));
}

int guard_new(sd_event *event, Publisher *p, Guard **ret)
{
    _cleanup_(guard_freep) Guard *g = calloc(1, sizeof(*g));
    int r;

    if (!g)
        return -ENOMEM;
    g->publisher = p;
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

    if (looks == guard_is_looking(g))
        return;
    (void)sd_event_source_set_time(g->timer, now_monotonic() + GUARD_LOOK_USEC);
    (void)sd_event_source_set_enabled(g->timer, looks ? SD_EVENT_ON : SD_EVENT_OFF);
}

bool guard_is_looking(const Guard *g)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(g->timer, &enabled);
    return enabled != SD_EVENT_OFF;
}

uint64_t guard_fight_pause(const Guard *g)
{
    return g->backoff.pause_usec;
}
