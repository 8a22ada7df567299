/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/eventfd.h>

#include "varlink/connection.h"
#include "varlink/limits.h"

/*
 * Scheduling. A connection with work waits in the queue of its user, and a user with such a
 * connection waits in its lane. A lane gives one connection of one user its turn and returns to the
 * event loop, which looks for more urgent events: a request of the kernel waits for one turn at
 * most, and a user for one turn of each other user. New connections are accepted before others than
 * root have their turn, but only some at a time, so that others cannot be starved by connecting.
 *
 * Calls of batch methods share what is slow about them, such as a commit. If the first call of a
 * turn is one of them, the lane goes on, in the same order, until a call of another method comes up
 * or VARLINK_BATCH_MAX connections have had their turn. The batch is flushed before that other
 * call, which then has its turn as well, or at the end. So nothing stays prepared over turns of the
 * event loop, no other method sees a half-done batch, and a single call does not wait for more.
 */

static void append_user(VarlinkLane *lane, VarlinkUser *u)
{
    if (u->queued || TAILQ_EMPTY(&u->ready))
        return;
    TAILQ_INSERT_TAIL(&lane->users, u, in_lane);
    u->queued = true;
    (void)sd_event_source_set_enabled(lane->turn, SD_EVENT_ON);
}

static void remove_user(VarlinkLane *lane, VarlinkUser *u)
{
    TAILQ_REMOVE(&lane->users, u, in_lane);
    u->queued = false;
}

void varlink_schedule(VarlinkConnection *c)
{
    if (c->ready)
        return;
    /* No further events are needed until its turn. */
    (void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
    TAILQ_INSERT_TAIL(&c->user->ready, c, in_queue);
    c->ready = true;
    append_user(varlink_lane(c->server, c->peer.uid), c->user);
}

void varlink_unschedule(VarlinkConnection *c)
{
    VarlinkUser *u = c->user;

    if (!c->ready)
        return;
    TAILQ_REMOVE(&u->ready, c, in_queue);
    c->ready = false;
    if (u->queued && TAILQ_EMPTY(&u->ready))
        remove_user(varlink_lane(c->server, c->peer.uid), u);
}

/* Takes the next connection of a lane out of its queue; NULL if there is none. */
static VarlinkConnection *take_next(VarlinkLane *lane)
{
    VarlinkUser *u = TAILQ_FIRST(&lane->users);
    VarlinkConnection *c;

    if (!u)
        return NULL;
    c = TAILQ_FIRST(&u->ready);
    varlink_unschedule(c);
    /* The user goes to the end of the lane with its remaining connections. */
    if (u->queued)
        remove_user(lane, u);
    append_user(lane, u);
    return c;
}

static int on_turn(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    VarlinkLane *lane = userdata;
    VarlinkConnection *c = take_next(lane);
    VarlinkServer *s;

    (void)fd;
    (void)events;
    if (!c)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    s = c->server;
    varlink_listeners_return(s);
    varlink_connection_turn(c);
    for (int n = 1; s->batch && n < VARLINK_BATCH_MAX && (c = take_next(lane)); n++)
        varlink_connection_turn(c);
    varlink_flush(s);
    return 0;
}

/* Uses a file descriptor that is always readable, because sources of equal priority then take
 * turns; sd_event_add_defer() would come first every time. */
static int lane_init(VarlinkServer *s, VarlinkLane *lane, int64_t priority)
{
    _cleanup_(closep) int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    int r;

    TAILQ_INIT(&lane->users);
    if (fd < 0)
        return -errno;
    r = sd_event_add_io(s->event, &lane->turn, fd, EPOLLIN, on_turn, lane);
    if (r < 0)
        return r;
    (void)sd_event_source_set_io_fd_own(lane->turn, true);
    TAKE_FD(fd);
    r = sd_event_source_set_priority(lane->turn, priority);
    return r < 0 ? r : sd_event_source_set_enabled(lane->turn, SD_EVENT_OFF);
}

int varlink_lanes_init(VarlinkServer *s)
{
    int r = lane_init(s, &s->root, VARLINK_PRIORITY_ROOT);

    return r < 0 ? r : lane_init(s, &s->others, VARLINK_PRIORITY_OTHERS);
}

void varlink_lanes_done(VarlinkServer *s)
{
    s->root.turn = sd_event_source_disable_unref(s->root.turn);
    s->others.turn = sd_event_source_disable_unref(s->others.turn);
}
