/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "basic/json.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/events/events.h"

/* Monitor. */

typedef struct Monitoring {
    EventReader reader;
    bool begun; /* the first reply, which has no event, was sent */
} Monitoring;

static void destroy_monitoring(void *state)
{
    Monitoring *m = state;

    event_reader_done(&m->reader);
    free(m);
}

static int add_text(json_object *o, const char *member, const char *text)
{
    return text[0] ? json_add_string(o, member, text) : 0;
}

static int event_to_json(const Event *e, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "number", e->number) < 0 ||
        json_add_string(o, "kind", event_kind_to_string(e->kind)) < 0 ||
        json_add_uint(o, "time", e->time_usec) < 0 || add_text(o, "id", e->key_id) < 0 ||
        add_text(o, "hostNQN", e->hostnqn) < 0 || add_text(o, "subsystemNQN", e->subsysnqn) < 0 ||
        (e->serial && json_add_uint(o, "serial", (uint64_t)e->serial) < 0) ||
        add_text(o, "detail", e->detail) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 0;
}

static int send_event(VarlinkCall *call, const Event *e, uint64_t lost)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *event = NULL;

    if (!o || event_to_json(e, &event) < 0 || json_add_take(o, "event", TAKE_PTR(event)) < 0 ||
        (lost > 0 && json_add_uint(o, "lost", lost) < 0))
        return -ENOMEM;
    return varlink_call_notify(call, TAKE_PTR(o));
}

static int send_next(VarlinkCall *call, void *state)
{
    Monitoring *m = state;
    const Event *e;
    uint64_t lost;

    if (!m->begun) {
        m->begun = true;
        return varlink_call_notify(call, NULL);
    }
    e = event_reader_take(&m->reader, &lost);
    if (e)
        return send_event(call, e, lost);
    varlink_call_pause(call);
    return 0;
}

int method_monitor(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    Monitoring *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    if (event_reader_begin(&m->reader, manager_events(userdata)) < 0) {
        free(m);
        return -ENOMEM;
    }
    return varlink_call_stream(call, send_next, m, destroy_monitoring);
}
