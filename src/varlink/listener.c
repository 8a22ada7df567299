/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "basic/log.h"
#include "basic/pause.h"
#include "varlink/connection.h"
#include "varlink/limits.h"

/* Listening sockets: each accepts in batches, and pauses when the process is out of resources. */

struct Listener {
    VarlinkServer *server;
    Listener *next;
    int fd;
    bool yields; /* until the next turn of any connection */
    sd_event_source *source, *retry;
};

static Listener *listener_free(Listener *l)
{
    if (!l)
        return NULL;
    sd_event_source_disable_unref(l->retry);
    sd_event_source_disable_unref(l->source);
    close(l->fd);
    free(l);
    return NULL;
}
DEFINE_CLEANUP(Listener, listener_free)

/* New connections come before those of others. If they never stopped, others would never have a
 * turn, so after a full batch the listener drops to the lowest priority until the next turn of any
 * connection. */
static void set_yields(Listener *l, bool yields)
{
    int64_t priority = yields ? VARLINK_PRIORITY_OTHERS + 1 : VARLINK_PRIORITY_ROOT;

    if (l->yields != yields && sd_event_source_set_priority(l->source, priority) >= 0)
        l->yields = yields;
}

void varlink_listeners_return(VarlinkServer *s)
{
    for (Listener *l = s->listeners; l; l = l->next)
        set_yields(l, false);
}

/* Connections of others must not use up the resources that root needs to connect. */
static bool can_retry(VarlinkServer *s, int error)
{
    return error == EINTR || error == ECONNABORTED ||
           ((error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) &&
            varlink_make_room(s, NULL, 0));
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Listener *l = userdata;

    (void)events;
    for (int i = 0; i < VARLINK_ACCEPT_BATCH; i++) {
        int r, peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int error = peer < 0 ? errno : 0;

        if (error == EAGAIN) {
            set_yields(l, false);
            return 0;
        }
        if (error != 0 && can_retry(l->server, error))
            continue;
        if (error != 0) {
            log_debug_errno(-error, "varlink: cannot accept, trying again");
            event_source_pause(source, &l->retry);
            return 0;
        }
        r = varlink_server_add_connection(l->server, peer);
        if (r < 0)
            log_debug_errno(r, "varlink: connection refused");
    }
    set_yields(l, true);
    return 0;
}

int varlink_server_listen(VarlinkServer *s, int listen_fd)
{
    _cleanup_(closep) int fd = listen_fd;
    _cleanup_(listener_freep) Listener *l = NULL;
    int r, flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->server = s;
    l->fd = TAKE_FD(fd);

    r = sd_event_add_io(s->event, &l->source, l->fd, EPOLLIN, on_listen, l);
    if (r < 0)
        return r;
    /* No higher than connections of root, because others may connect all the time. */
    r = sd_event_source_set_priority(l->source, VARLINK_PRIORITY_ROOT);
    if (r < 0)
        return r;

    l->next = s->listeners;
    s->listeners = TAKE_PTR(l);
    return 0;
}

void varlink_listeners_free(VarlinkServer *s)
{
    while (s->listeners) {
        Listener *l = s->listeners;

        s->listeners = l->next;
        listener_free(l);
    }
}
