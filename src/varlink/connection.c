/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/log.h"
#include "varlink/connection.h"

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);

static bool limit_reached(const VarlinkServer *s, uid_t uid)
{
    size_t all = 0, own = 0;

    for (const VarlinkConnection *c = s->connections; c; c = c->next) {
        all++;
        own += c->peer.uid == uid;
    }
    return all >= VARLINK_CONNECTIONS_MAX || (uid != 0 && own >= CONNECTIONS_PER_USER_MAX);
}

static int connection_start(VarlinkConnection *c)
{
    socklen_t length = sizeof(c->peer);
    VarlinkServer *s = c->server;
    int r;

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &length) < 0)
        return -errno;
    if (limit_reached(s, c->peer.uid))
        return -EBUSY;
    r = sd_event_add_io(s->event, &c->source, c->fd, EPOLLIN, on_io, c);
    if (r < 0)
        return r;

    c->refused = s->authorize && s->authorize(c->fd, &c->peer, s->authorize_userdata) != 0;
    return 0;
}

int varlink_server_add_connection(VarlinkServer *s, int fd)
{
    _cleanup_(closep) int owned = fd;
    _cleanup_(varlink_connection_freep) VarlinkConnection *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->server = s;
    c->fd = TAKE_FD(owned);
    c->input = VARLINK_BUFFER(VARLINK_MESSAGE_MAX);
    c->output = VARLINK_BUFFER(VARLINK_OUTPUT_MAX);
    r = connection_start(c);
    if (r < 0)
        return r;

    c->next = s->connections;
    if (c->next)
        c->next->previous = c;
    s->connections = TAKE_PTR(c);
    varlink_server_notice(s);
    return 0;
}

VarlinkConnection *varlink_connection_free(VarlinkConnection *c)
{
    if (!c)
        return NULL;

    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else if (c->server->connections == c)
        c->server->connections = c->next;

    sd_event_source_disable_unref(c->source);
    close(c->fd);
    varlink_buffer_done(&c->input);
    secret_free(c->parked);
    varlink_buffer_done(&c->output);
    if (c->destroy)
        c->destroy(c->state);
    free(c);
    return NULL;
}

void varlink_connection_send(VarlinkConnection *c)
{
    int r = c->broken ? 0 : varlink_buffer_send(&c->output, c->fd);

    if (r < 0 && r != -EAGAIN)
        c->broken = true;
}

/* Keeps a call for later, one that may hold a secret in locked memory. */
static void park(VarlinkConnection *c, const char *data, size_t size, bool sensitive)
{
    c->waiting = true;
    if (!sensitive)
        return;
    c->parked = secret_new_copy(data, size);
    if (c->parked)
        varlink_buffer_consume(&c->input, size + 1);
    else
        c->broken = true;
}

/* Handles the call that was parked. */
static bool step_parked(VarlinkConnection *c)
{
    bool sensitive = true;

    if (!varlink_connection_dispatch(c, (const char *)c->parked->data, c->parked->size,
                                     &sensitive)) {
        c->waiting = true;
        return false;
    }
    c->parked = secret_free(c->parked);
    varlink_server_notice(c->server);
    return true;
}

/* Handles a queued message or receives something. Returns false when there is nothing to do. */
static bool connection_step(VarlinkConnection *c)
{
    bool sensitive = true;
    const char *data;
    size_t size;
    int r;

    if (c->parked)
        return step_parked(c);
    r = varlink_buffer_next(&c->input, &data, &size);
    if (r == -EMSGSIZE) {
        log_debug("varlink: message too long");
        c->ending = true;
        return false;
    }
    if (r > 0) {
        if (!varlink_connection_dispatch(c, data, size, &sensitive)) {
            park(c, data, size, sensitive);
            return false;
        }
        varlink_buffer_consume(&c->input, size + 1);
        varlink_server_notice(c->server);
        return true;
    }
    if (c->at_end)
        return false;

    r = varlink_buffer_receive(&c->input, c->fd);
    c->at_end = r == 0;
    c->broken = r < 0 && r != -EAGAIN;
    return r > 0;
}

static bool message_queued(VarlinkConnection *c)
{
    const char *data;
    size_t size;

    return c->parked || varlink_buffer_next(&c->input, &data, &size) != 0;
}

static bool connection_finished(VarlinkConnection *c)
{
    if (c->broken)
        return true;
    return varlink_buffer_size(&c->output) == 0 && (c->ending || (c->at_end && !message_queued(c)));
}

/* A peer that hung up is always reported: each turn must then come nearer to the end, which it does
 * because sending to it fails and receiving from it ends. */
static uint32_t events_wanted(VarlinkConnection *c)
{
    size_t unsent = varlink_buffer_size(&c->output);
    uint32_t events = 0;

    /* A queued message waits for the output as well: writable means it is its turn. */
    if (unsent > 0 || (message_queued(c) && !c->waiting))
        events |= EPOLLOUT;
    if (c->waiting)
        return events;
    if (unsent <= CONNECTION_OUTPUT_PAUSE && !c->at_end && !c->ending)
        events |= EPOLLIN;
    return events;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    VarlinkConnection *c = userdata;
    VarlinkServer *s = c->server;

    (void)fd;
    /* Nobody is there any more for the answer, and it would be reported again and again. */
    if (c->waiting && (events & (EPOLLHUP | EPOLLERR)))
        c->broken = true;
    varlink_connection_send(c);
    for (int i = 0; i < CONNECTION_CALLS_PER_TURN && !c->ending && !c->broken && !c->waiting; i++)
        if (varlink_buffer_size(&c->output) > CONNECTION_OUTPUT_PAUSE || !connection_step(c))
            break;
    varlink_connection_send(c);

    if (!connection_finished(c) && sd_event_source_set_io_events(source, events_wanted(c)) >= 0)
        return 0;
    varlink_connection_free(c);
    varlink_server_notice(s);
    return 0;
}

void varlink_server_resume(VarlinkServer *s)
{
    VarlinkConnection *c = s->connections, *previous;

    /* Who has waited longest comes first. */
    while (c && c->next)
        c = c->next;
    for (; c; c = previous) {
        previous = c->previous;
        if (!c->waiting)
            continue;
        c->waiting = false;
        (void)on_io(c->source, c->fd, 0, c);
    }
}
