/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/io.h"
#include "basic/log.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

/*
 * Long messages, of root alone. A message takes several times its size while it is handled, so one
 * connection at a time may send them. The others are crowded: each keeps the beginning of its
 * message and reads no further, and the one that connected first is next. A timer runs while there
 * are any, because a peer that stops in the middle of its message causes no event.
 */

static VarlinkConnection *find_oldest_crowded(const VarlinkServer *s)
{
    VarlinkConnection *oldest = NULL;

    for (VarlinkConnection *c = s->connections; c; c = c->next)
        if (c->crowded)
            oldest = c;
    return oldest;
}

static void check_at(VarlinkServer *s, uint64_t usec)
{
    if (sd_event_source_set_time(s->long_timer, usec) >= 0)
        (void)sd_event_source_set_enabled(s->long_timer, SD_EVENT_ONESHOT);
}

bool varlink_begin_long(VarlinkConnection *c)
{
    VarlinkServer *s = c->server;

    if (c->peer.uid != 0 || c->refused || s->sends_long == c)
        return false;
    if (!s->sends_long) {
        s->sends_long = c;
        c->input.max = VARLINK_MESSAGE_MAX;
        return true;
    }
    if (!find_oldest_crowded(s))
        check_at(s, now_monotonic() + s->long_stall_usec);
    c->crowded = true;
    return true;
}

void varlink_end_long(VarlinkConnection *c)
{
    VarlinkServer *s = c->server;
    VarlinkConnection *next;

    if (s->sends_long != c)
        return;
    c->input.max = VARLINK_SHORT_MESSAGE_MAX;
    next = find_oldest_crowded(s);
    s->sends_long = next;
    if (!next)
        return;
    /* Its turn may find that the peer has hung up: then it ends without asking for its place. */
    next->input.max = VARLINK_MESSAGE_MAX;
    next->crowded = false;
    next->progress_usec = now_monotonic();
    varlink_schedule(next);
}

/* Runs after all events of root, so the bytes of a peer that sends have been read. */
static int on_check(sd_event_source *source, uint64_t usec, void *userdata)
{
    VarlinkServer *s = userdata;
    VarlinkConnection *c = s->sends_long;
    uint64_t now = now_monotonic();

    (void)source;
    (void)usec;
    if (!c || !find_oldest_crowded(s))
        return 0;
    if (c->ready || varlink_connection_is_waiting(c)) {
        check_at(s, now + s->long_stall_usec);
        return 0;
    }
    if (c->progress_usec + s->long_stall_usec > now) {
        check_at(s, c->progress_usec + s->long_stall_usec);
        return 0;
    }
    log_warning("varlink: PID %d of root stopped in a long message that others wait for, "
                "connection closed",
                (int)c->peer.pid);
    varlink_connection_free(c);
    check_at(s, now + s->long_stall_usec);
    varlink_server_notice(s);
    return 0;
}

int varlink_long_timer_new(VarlinkServer *s)
{
    int r = sd_event_add_time(s->event, &s->long_timer, CLOCK_MONOTONIC, 0, 0, on_check, s);

    s->long_stall_usec = VARLINK_LONG_STALL_USEC;
    if (r < 0 || (r = sd_event_source_set_priority(s->long_timer, VARLINK_PRIORITY_ROOT + 1)) < 0)
        return r;
    return sd_event_source_set_enabled(s->long_timer, SD_EVENT_OFF);
}
