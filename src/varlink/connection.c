/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/io.h"
#include "basic/log.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* Also bounds in the kernel the output that a peer other than root does not read. */
static void bound_buffers(VarlinkConnection *c)
{
    static const int size = VARLINK_OTHERS_SNDBUF;
    bool root = c->peer.uid == 0;

    c->input = VARLINK_BUFFER(root ? VARLINK_SHORT_MESSAGE_MAX : VARLINK_OTHERS_MESSAGE_MAX);
    c->output = VARLINK_BUFFER(root ? VARLINK_OUTPUT_MAX : VARLINK_OTHERS_OUTPUT_MAX);
    if (!root)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int connection_start(VarlinkConnection *c)
{
    socklen_t length = sizeof(c->peer);
    VarlinkServer *s = c->server;
    int r;

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &length) < 0)
        return -errno;
    if ((r = varlink_admit(c)) < 0 ||
        (r = sd_event_add_io(s->event, &c->source, c->fd, EPOLLIN, on_io, c)) < 0 ||
        (r = sd_event_source_set_priority(
             c->source, c->peer.uid == 0 ? VARLINK_PRIORITY_ROOT : VARLINK_PRIORITY_OTHERS)) < 0)
        return r;

    bound_buffers(c);
    c->progress_usec = now_monotonic();
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

static void unpark(VarlinkConnection *c)
{
    if (c->parked)
        c->server->parked -= secret_footprint(c->parked->size);
    c->parked = secret_free(c->parked);
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

    varlink_end_long(c);
    varlink_dismiss(c);
    sd_event_source_disable_unref(c->source);
    close(c->fd);
    varlink_stream_done(&c->stream);
    if (c->held)
        c->held->connection = NULL;
    varlink_buffer_done(&c->input);
    unpark(c);
    varlink_buffer_done(&c->output);
    free(c);
    return NULL;
}

static void consume_message(VarlinkConnection *c, size_t size)
{
    varlink_buffer_consume(&c->input, size + 1);
    if (varlink_buffer_size(&c->input) == 0)
        varlink_end_long(c);
}

bool varlink_connection_park(VarlinkConnection *c, const char *data, size_t size, bool sensitive)
{
    size_t footprint = secret_footprint(size);
    VarlinkServer *s = c->server;

    if (sensitive && !c->parked && size <= VARLINK_SHORT_MESSAGE_MAX) {
        if (s->parked + footprint <= VARLINK_PARKED_MAX)
            c->parked = secret_new_copy(data, size);
        if (!c->parked)
            return false;
        s->parked += footprint;
    }
    c->waiting = true;
    return true;
}

static void handle_parked(VarlinkConnection *c)
{
    varlink_connection_dispatch(c, (const char *)c->parked->data, c->parked->size);
    if (c->waiting)
        return;
    unpark(c);
    varlink_server_notice(c->server);
}

/* Handles the first queued message. Returns false if there is none. */
static bool handle_queued(VarlinkConnection *c)
{
    const char *data;
    size_t size;
    int r = varlink_buffer_next(&c->input, &data, &size);

    if (r == -EMSGSIZE && varlink_begin_long(c))
        return c->crowded || handle_queued(c);
    if (r == -EMSGSIZE) {
        log_debug("varlink: message too long");
        c->ending = true;
    }
    if (r <= 0)
        return r < 0;
    varlink_connection_dispatch(c, data, size);
    if (!c->waiting || c->parked)
        consume_message(c, size);
    if (!c->waiting)
        varlink_server_notice(c->server);
    return true;
}

static void receive(VarlinkConnection *c)
{
    int r = varlink_buffer_receive(&c->input, c->fd);

    c->at_end = r == 0;
    c->broken = r < 0 && r != -EAGAIN;
    if (r > 0)
        c->progress_usec = now_monotonic();
}

/* Handles one call, or sends one piece of a stream. */
static void connection_step(VarlinkConnection *c)
{
    if (c->stream.next)
        varlink_connection_stream(c);
    else if (c->parked)
        handle_parked(c);
    else if (!handle_queued(c) && !c->at_end) {
        receive(c);
        if (!c->broken)
            (void)handle_queued(c);
    }
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
    return varlink_buffer_size(&c->output) == 0 && !c->stream.next && !c->held &&
           (c->ending || (c->at_end && !message_queued(c)));
}

static bool has_room(const VarlinkConnection *c)
{
    return varlink_buffer_size(&c->output) <= VARLINK_OUTPUT_PAUSE;
}

/* True if the connection can continue without the peer. */
static bool has_work(VarlinkConnection *c)
{
    return !varlink_connection_is_waiting(c) && has_room(c) &&
           (c->stream.next || (!c->ending && message_queued(c)));
}

/* epoll always reports a peer that hung up, so each turn must bring the connection closer to its
 * end. It does, because sending fails and receiving ends. */
static uint32_t events_wanted(const VarlinkConnection *c)
{
    uint32_t events = varlink_buffer_size(&c->output) > 0 ? EPOLLOUT : 0;

    if (!varlink_connection_is_waiting(c) && has_room(c) && !c->at_end && !c->ending)
        events |= EPOLLIN;
    return events;
}

void varlink_connection_turn(VarlinkConnection *c)
{
    VarlinkServer *s = c->server;

    varlink_connection_send(c);
    if (!c->broken && !varlink_connection_is_waiting(c) && has_room(c) &&
        (c->stream.next || !c->ending))
        connection_step(c);
    varlink_connection_send(c);

    if (!connection_finished(c)) {
        /* It is ready already if a held call has ended. */
        if (c->ready || has_work(c)) {
            varlink_schedule(c);
            return;
        }
        if (sd_event_source_set_io_events(c->source, events_wanted(c)) >= 0 &&
            sd_event_source_set_enabled(c->source, SD_EVENT_ON) >= 0)
            return;
    }
    varlink_connection_free(c);
    varlink_server_notice(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    VarlinkConnection *c = userdata;

    (void)source;
    (void)fd;
    /* The peer has hung up. While a call waits, the source stays on, and epoll would report it
     * again and again. */
    if (varlink_connection_is_waiting(c) && (events & (EPOLLHUP | EPOLLERR)))
        c->broken = true;
    varlink_schedule(c);
    return 0;
}

void varlink_server_resume(VarlinkServer *s)
{
    VarlinkConnection *c = s->connections;

    s->turned_away = false;
    /* The oldest connection comes first. */
    while (c && c->next)
        c = c->next;
    for (; c; c = c->previous) {
        if (!c->waiting)
            continue;
        c->waiting = false;
        varlink_schedule(c);
    }
}

void varlink_server_wake(VarlinkServer *s)
{
    for (VarlinkConnection *c = s->connections; c; c = c->next) {
        if (!c->paused)
            continue;
        c->paused = false;
        varlink_schedule(c);
    }
}
