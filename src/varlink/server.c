/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "basic/log.h"
#include "varlink/connection.h"

/* When the process has no file descriptor or memory left, the backlog keeps who comes. */
#define ACCEPT_RETRY_USEC USEC_PER_SEC

struct Listener {
    VarlinkServer *server;
    Listener *next;
    int fd;
    bool yields; /* until somebody has had a turn */
    sd_event_source *source, *retry;
};

static Listener *listener_free(Listener *l)
{
    if (!l)
        return NULL;
    sd_event_source_disable_unref(l->source);
    sd_event_source_disable_unref(l->retry);
    close(l->fd);
    free(l);
    return NULL;
}
DEFINE_CLEANUP(Listener, listener_free)

int varlink_server_new(sd_event *event, const VarlinkServiceInfo *info, VarlinkServer **ret)
{
    _cleanup_(varlink_server_freep) VarlinkServer *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->event = sd_event_ref(event);
    s->info = *info;
    if ((r = varlink_server_add_interface(s, &varlink_service_interface, s)) < 0 ||
        (r = varlink_lanes_init(s)) < 0 || (r = varlink_idle_timer_new(s)) < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

VarlinkServer *varlink_server_free(VarlinkServer *s)
{
    if (!s)
        return NULL;

    s->idle = NULL;
    s->refused = NULL;
    while (s->listeners) {
        Listener *l = s->listeners;

        s->listeners = l->next;
        listener_free(l);
    }
    while (s->connections)
        varlink_connection_free(s->connections);
    while (s->interfaces) {
        InterfaceEntry *i = s->interfaces;

        s->interfaces = i->next;
        free(i);
    }
    varlink_lanes_done(s);
    sd_event_source_disable_unref(s->idle_timer);
    sd_event_unref(s->event);
    free(s);
    return NULL;
}

const InterfaceEntry *varlink_server_find_interface(const VarlinkServer *s, const char *name,
                                                    size_t length)
{
    for (const InterfaceEntry *i = s->interfaces; i; i = i->next)
        if (strncmp(i->interface->name, name, length) == 0 && i->interface->name[length] == '\0')
            return i;
    return NULL;
}

int varlink_server_add_interface(VarlinkServer *s, const VarlinkInterface *interface,
                                 void *userdata)
{
    InterfaceEntry **end = &s->interfaces, *entry;

    if (!varlink_interface_name_is_valid(interface->name))
        return -EINVAL;
    if (varlink_server_find_interface(s, interface->name, strlen(interface->name)))
        return -EEXIST;
    entry = malloc(sizeof(*entry));
    if (!entry)
        return -ENOMEM;

    *entry = (InterfaceEntry){interface, userdata, NULL};
    while (*end)
        end = &(*end)->next;
    *end = entry;
    return 0;
}

static void pause_listener(Listener *l, int error)
{
    log_debug_errno(error, "varlink: cannot accept, trying again");
    if (sd_event_source_set_time_relative(l->retry, ACCEPT_RETRY_USEC) >= 0 &&
        sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT) >= 0)
        (void)sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    Listener *l = userdata;

    (void)source;
    (void)usec;
    return sd_event_source_set_enabled(l->source, SD_EVENT_ON);
}

/* Root's connections and new ones come before others'; but where new ones never end, others would
 * never have a turn. So after a full batch the listener has the lowest priority, until the next
 * turn of anybody. */
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

/* Those other than root must not take what root needs to get in. */
static bool can_retry(VarlinkServer *s, int error)
{
    return error == EINTR || error == ECONNABORTED ||
           ((error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) &&
            varlink_make_room(s, NULL, 0));
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Listener *l = userdata;

    (void)source;
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
            pause_listener(l, -error);
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
    /* Not before root's connections: others may connect all the time. */
    r = sd_event_source_set_priority(l->source, VARLINK_PRIORITY_ROOT);
    if (r < 0)
        return r;
    r = sd_event_add_time(s->event, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
    if (r < 0)
        return r;

    l->next = s->listeners;
    s->listeners = TAKE_PTR(l);
    return 0;
}

void varlink_server_set_authorize(VarlinkServer *s, VarlinkAuthorizeFn fn, void *userdata)
{
    s->authorize = fn;
    s->authorize_userdata = userdata;
}

void varlink_server_set_idle_hook(VarlinkServer *s, VarlinkIdleFn fn, void *userdata)
{
    s->idle = fn;
    s->idle_userdata = userdata;
}

void varlink_server_set_refused_hook(VarlinkServer *s, VarlinkRefusedFn fn, void *userdata)
{
    s->refused = fn;
    s->refused_userdata = userdata;
}

void varlink_server_refused(VarlinkServer *s, const struct ucred *peer, const char *method)
{
    if (s->refused)
        s->refused(peer, method, s->refused_userdata);
}

void varlink_server_notice(VarlinkServer *s)
{
    if (s->idle)
        s->idle(s, s->idle_userdata);
}

size_t varlink_server_connections(const VarlinkServer *s)
{
    return s->root.n_connections + s->others.n_connections;
}
