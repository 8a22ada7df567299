/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "basic/io.h"
#include "basic/log.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

/*
 * Admission of connections. Root has a share of its own. All others have one together: if it is
 * full, the user with most connections loses one that was idle for long enough.
 */

static VarlinkUser *find_user(const VarlinkServer *s, uid_t uid)
{
    VarlinkUser *u = s->users;

    while (u && u->uid != uid)
        u = u->next;
    return u;
}

static int get_user(VarlinkServer *s, uid_t uid, VarlinkUser **ret)
{
    VarlinkUser *u = find_user(s, uid);

    if (!u) {
        u = calloc(1, sizeof(*u));
        if (!u)
            return -ENOMEM;
        u->uid = uid;
        TAILQ_INIT(&u->ready);
        u->next = s->users;
        s->users = u;
    }
    *ret = u;
    return 0;
}

static void free_if_unused(VarlinkServer *s, VarlinkUser *user)
{
    VarlinkUser **link = &s->users;

    if (user->n_connections > 0)
        return;
    while (*link != user)
        link = &(*link)->next;
    *link = user->next;
    free(user);
}

/* True if the connection waits for its peer, and has for long enough. A peer that waits for events
 * is idle only where room is scarce. */
static bool is_idle(const VarlinkConnection *c, uint64_t before_usec, bool scarce)
{
    return c->peer.uid != 0 && !c->ready &&
           (c->paused ? scarce : !varlink_connection_is_waiting(c)) &&
           c->progress_usec <= before_usec;
}

/* Closes connections of others whose peer has hung up. The event loop has not noticed yet, because
 * the listener has a higher priority. */
static size_t close_hung_up(VarlinkServer *s)
{
    VarlinkConnection *of[VARLINK_OTHERS_CONNECTIONS_MAX + 1];
    struct pollfd fds[VARLINK_OTHERS_CONNECTIONS_MAX + 1];
    size_t n = 0, closed = 0;

    for (VarlinkConnection *c = s->connections; c && n < ARRAY_SIZE(fds); c = c->next) {
        if (c->peer.uid == 0)
            continue;
        fds[n] = (struct pollfd){.fd = c->fd};
        of[n++] = c;
    }
    if (poll(fds, n, 0) <= 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (!(fds[i].revents & (POLLHUP | POLLERR)))
            continue;
        varlink_connection_free(of[i]);
        closed++;
    }
    return closed;
}

static VarlinkConnection *find_victim(const VarlinkServer *s, const VarlinkUser *wanting,
                                      uint64_t before)
{
    VarlinkConnection *victim = NULL;

    for (VarlinkConnection *c = s->connections; c; c = c->next) {
        size_t n = c->user->n_connections, most = victim ? victim->user->n_connections : 0;

        if (!is_idle(c, before, wanting != NULL) || n < most ||
            (wanting && n < wanting->n_connections))
            continue;
        if (!victim || n > most || c->progress_usec < victim->progress_usec)
            victim = c;
    }
    return victim;
}

bool varlink_make_room(VarlinkServer *s, const VarlinkUser *wanting, uint64_t idle_usec)
{
    uint64_t now = now_monotonic(), before = now > idle_usec ? now - idle_usec : 0;
    size_t closed = wanting ? close_hung_up(s) : 0;
    VarlinkConnection *victim = closed > 0 ? NULL : find_victim(s, wanting, before);

    if (victim) {
        log_debug("varlink: idle connection of uid %u gives way", (unsigned)victim->peer.uid);
        varlink_connection_free(victim);
        closed = 1;
    }
    if (closed > 0)
        varlink_server_notice(s);
    return closed > 0;
}

static bool too_many(const VarlinkServer *s, const VarlinkUser *u)
{
    if (u->uid == 0)
        return u->n_connections > VARLINK_CONNECTIONS_MAX;
    return u->n_connections > VARLINK_USER_CONNECTIONS_MAX ||
           s->others.n_connections > VARLINK_OTHERS_CONNECTIONS_MAX;
}

static void plan_idle_check(VarlinkServer *s)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(s->idle_timer, &enabled);
    if (enabled == SD_EVENT_OFF &&
        sd_event_source_set_time(s->idle_timer, now_monotonic() + s->others_idle_usec) >= 0)
        (void)sd_event_source_set_enabled(s->idle_timer, SD_EVENT_ONESHOT);
}

int varlink_admit(VarlinkConnection *c)
{
    VarlinkServer *s = c->server;
    VarlinkUser *u;
    int r = get_user(s, c->peer.uid, &u);

    if (r < 0)
        return r;
    /* Counted first, so that the user survives if its last other connection gives way. */
    c->user = u;
    u->n_connections++;
    varlink_lane(s, u->uid)->n_connections++;
    /* Twice: the first time may only close connections of other users, whose peers have hung up. */
    for (int i = 0; i < 2 && too_many(s, u) && u->uid != 0; i++)
        if (!varlink_make_room(s, u, VARLINK_SCARCE_IDLE_USEC))
            break;
    if (too_many(s, u)) {
        varlink_dismiss(c);
        if (c->peer.uid != 0)
            varlink_server_refused(s, &c->peer, NULL);
        return -EBUSY;
    }
    if (u->uid != 0)
        plan_idle_check(s);
    return 0;
}

void varlink_dismiss(VarlinkConnection *c)
{
    VarlinkServer *s = c->server;
    VarlinkUser *u = c->user;

    if (!u)
        return;
    varlink_unschedule(c);
    c->user = NULL;
    u->n_connections--;
    varlink_lane(s, u->uid)->n_connections--;
    free_if_unused(s, u);
}

static int on_idle_check(sd_event_source *source, uint64_t usec, void *userdata)
{
    VarlinkServer *s = userdata;

    (void)source;
    (void)usec;
    while (varlink_make_room(s, NULL, s->others_idle_usec))
        ;
    if (s->others.n_connections > 0)
        plan_idle_check(s);
    return 0;
}

int varlink_idle_timer_new(VarlinkServer *s)
{
    int r = sd_event_add_time(s->event, &s->idle_timer, CLOCK_MONOTONIC, 0, 0, on_idle_check, s);

    s->others_idle_usec = VARLINK_OTHERS_IDLE_USEC;
    return r < 0 ? r : sd_event_source_set_enabled(s->idle_timer, SD_EVENT_OFF);
}
