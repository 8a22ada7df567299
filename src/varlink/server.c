/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "varlink/connection.h"

int varlink_server_new(sd_event *event, const VarlinkServiceInfo *info, VarlinkServer **ret)
{
    _cleanup_(varlink_server_freep) VarlinkServer *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->event = sd_event_ref(event);
    s->info = *info;
    if ((r = varlink_server_add_interface(s, &varlink_service_interface, s)) < 0 ||
        (r = varlink_lanes_init(s)) < 0 || (r = varlink_idle_timer_new(s)) < 0 ||
        (r = varlink_long_timer_new(s)) < 0)
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
    varlink_listeners_free(s);
    while (s->connections)
        varlink_connection_free(s->connections);
    varlink_interfaces_free(s);
    varlink_lanes_done(s);
    sd_event_source_disable_unref(s->idle_timer);
    sd_event_source_disable_unref(s->long_timer);
    sd_event_unref(s->event);
    free(s);
    return NULL;
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

size_t varlink_server_connections(const VarlinkServer *s)
{
    return s->root.n_connections + s->others.n_connections;
}
