/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/events/events.h"

struct Events {
    void (*wake)(void *userdata);
    void *userdata;
    Event *items;  /* EVENTS_MAX, the event of a number at its remainder; NULL without readers */
    uint64_t last; /* number of the last event */
    size_t n_readers;
};

static const char *const kind_names[EVENT_KINDS] = {
    "published", "withdrawn", "put_back", "switched", "retired",
    "revoked",   "removed",   "probed",   "moved",    "foreign",
};

const char *event_kind_to_string(EventKind kind)
{
    return kind_names[kind];
}

int events_new(void (*wake)(void *userdata), void *userdata, Events **ret)
{
    Events *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    e->wake = wake;
    e->userdata = userdata;
    *ret = e;
    return 0;
}

Events *events_free(Events *e)
{
    if (e)
        free(e->items);
    free(e);
    return NULL;
}

bool events_have_readers(const Events *e)
{
    return e && e->n_readers > 0;
}

static void add_event(Events *e, const Event *event, const char *hostnqn, const char *subsysnqn,
                      const char *detail)
{
    Event *new = &e->items[++e->last % EVENTS_MAX];

    *new = *event;
    new->number = e->last;
    new->time_usec = now_realtime();
    (void)snprintf(new->hostnqn, sizeof(new->hostnqn), "%s", hostnqn ? hostnqn : "");
    (void)snprintf(new->subsysnqn, sizeof(new->subsysnqn), "%s", subsysnqn ? subsysnqn : "");
    (void)snprintf(new->detail, sizeof(new->detail), "%s", detail ? detail : "");
    e->wake(e->userdata);
}

void events_emit(Events *e, EventKind kind, const Key *k, int32_t serial, const char *detail)
{
    Event event = {.kind = kind, .serial = serial};

    if (!events_have_readers(e))
        return;
    if (k)
        memcpy(event.key_id, k->id, sizeof(event.key_id));
    add_event(e, &event, k ? k->hostnqn : NULL, k ? k->subsysnqn : NULL, detail);
}

void events_emit_pair(Events *e, EventKind kind, const char *hostnqn, const char *subsysnqn,
                      int32_t serial, const char *detail)
{
    const Event event = {.kind = kind, .serial = serial};

    if (events_have_readers(e))
        add_event(e, &event, hostnqn, subsysnqn, detail);
}

int event_reader_begin(EventReader *r, Events *e)
{
    if (!e->items)
        e->items = calloc(EVENTS_MAX, sizeof(*e->items));
    if (!e->items)
        return -ENOMEM;
    e->n_readers++;
    *r = (EventReader){e, e->last + 1};
    return 0;
}

const Event *event_reader_take(EventReader *r, uint64_t *ret_lost)
{
    const Events *e = r->events;
    uint64_t oldest = e->last >= EVENTS_MAX ? e->last - EVENTS_MAX + 1 : 1;

    *ret_lost = 0;
    if (r->next > e->last)
        return NULL;
    if (r->next < oldest) {
        *ret_lost = oldest - r->next;
        r->next = oldest;
    }
    return &e->items[r->next++ % EVENTS_MAX];
}

void event_reader_done(EventReader *r)
{
    Events *e = r->events;

    if (!e || --e->n_readers > 0)
        return;
    free(e->items);
    e->items = NULL;
    r->events = NULL;
}
