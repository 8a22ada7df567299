/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/socket.h>

#include "basic/io.h"
#include "basic/log.h"
#include "basic/names.h"
#include "basic/pause.h"
#include "nvme-keyd/upcall/answer.h"
#include "nvme-keyd/upcall/limits.h"
#include "nvme-keyd/upcall/server.h"

/* A handshake in the kernel waits for the answer, so requests come before everything else. */
#define UPCALL_PRIORITY SD_EVENT_PRIORITY_IMPORTANT

typedef struct Connection {
    UpcallServer *server;
    sd_event_source *io;
    sd_event_source *timer;
    UpcallRequest request; /* of size bytes; waits for the store */
    size_t size;
    struct Connection *next, **link; /* link: what points here */
} Connection;

struct UpcallServer {
    sd_event *event;
    sd_event_source *listen;
    sd_event_source *rest; /* while listen is off: see event_source_pause() */
    Manager *manager;
    void (*on_activity)(void *userdata);
    void *userdata;
    Connection *connections;
    size_t n_connections;
};

static void connection_close(Connection *c)
{
    UpcallServer *s = c->server;

    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    s->n_connections--;
    sd_event_source_disable_unref(c->timer);
    sd_event_source_disable_unref(c->io); /* closes the socket */
    free(c);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Connection *c = userdata;
    UpcallServer *s = c->server;

    (void)source;
    (void)usec;
    connection_close(c);
    s->on_activity(s->userdata);
    return 0;
}

/* Answers and closes, or leaves the request waiting for the store. */
static void answer(Connection *c)
{
    int fd = sd_event_source_get_io_fd(c->io);
    UpcallReply reply;
    CLEANUP_ERASE(reply);

    if (!upcall_answer(c->server->manager, &c->request, c->size, &reply))
        return;
    if (send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        (void)log_warning_errno(-errno, "Cannot answer a request of the kernel");
    upcall_log_miss(&c->request, c->size, &reply);
    connection_close(c);
}

static int on_packet(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Connection *c = userdata;
    UpcallServer *s = c->server;
    ssize_t n = 0;

    (void)source;
    (void)revents;
    /* A second packet or end of file: this shim does not wait for the first answer. */
    if (c->size == 0)
        n = recv(fd, &c->request, sizeof(c->request), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0) {
        c->size = (size_t)n;
        answer(c);
    } else
        connection_close(c);
    s->on_activity(s->userdata);
    return 0;
}

void upcall_server_resume(UpcallServer *s)
{
    Connection *next;

    for (Connection *c = s->connections; c; c = next) {
        next = c->next;
        if (c->size > 0)
            answer(c);
    }
}

static int connection_open(UpcallServer *s, int fd)
{
    Connection *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    r = sd_event_add_io(s->event, &c->io, fd, EPOLLIN, on_packet, c);
    if (r >= 0)
        r = sd_event_source_set_priority(c->io, UPCALL_PRIORITY);
    if (r >= 0)
        r = sd_event_add_time_relative(s->event, &c->timer, CLOCK_MONOTONIC, UPCALL_DEADLINE_USEC,
                                       0, on_timeout, c);
    if (r < 0) {
        sd_event_source_disable_unref(c->io);
        free(c);
        return r;
    }
    (void)sd_event_source_set_io_fd_own(c->io, true);
    c->server = s;
    c->link = &s->connections;
    c->next = s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    s->n_connections++;
    return 0;
}

static void admit(UpcallServer *s, int fd)
{
    _cleanup_(closep) int owned = fd;
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
        const LogFields fields = {.message_id = MESSAGE_REQUEST_REFUSED};

        (void)log_full(LOG_WARNING, 0, &fields, "Refused a process of uid %u on the request socket",
                       size == sizeof(peer) ? (unsigned)peer.uid : 0);
        return;
    }
    /* Past the limit the shim sees end of file, and rejects the key. */
    if (s->n_connections < UPCALL_CONNECTIONS_MAX && connection_open(s, fd) == 0)
        owned = -EBADF;
}

/* Connections to accept before other event sources have their turn. */
#define ACCEPT_BATCH 64

static int on_connect(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    UpcallServer *s = userdata;
    int peer = -EBADF;

    (void)revents;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0)
            break;
        admit(s, peer);
    }
    if (peer < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        event_source_pause(source, &s->rest);
    s->on_activity(s->userdata);
    return 0;
}

int upcall_server_new(sd_event *event, int listen_fd, Manager *manager,
                      void (*on_activity)(void *userdata), void *userdata, UpcallServer **ret)
{
    _cleanup_(upcall_server_freep) UpcallServer *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->event = sd_event_ref(event);
    s->manager = manager;
    s->on_activity = on_activity;
    s->userdata = userdata;
    r = sd_event_add_io(event, &s->listen, listen_fd, EPOLLIN, on_connect, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_priority(s->listen, UPCALL_PRIORITY);
    if (r < 0)
        return r;
    (void)sd_event_source_set_io_fd_own(s->listen, true);
    *ret = TAKE_PTR(s);
    return 0;
}

UpcallServer *upcall_server_free(UpcallServer *s)
{
    if (!s)
        return NULL;
    while (s->connections)
        connection_close(s->connections);
    sd_event_source_disable_unref(s->rest);
    sd_event_source_disable_unref(s->listen);
    sd_event_unref(s->event);
    free(s);
    return NULL;
}

size_t upcall_server_connections(const UpcallServer *s)
{
    return s->n_connections;
}
