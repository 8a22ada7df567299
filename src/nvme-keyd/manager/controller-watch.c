/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/names.h"
#include "nvme-keyd/manager/controllers.h"
#include "nvme-keyd/manager/manager-private.h"

void controller_watch_done(ControllerWatch *w)
{
    stalls_done(&w->stalls);
    controller_list_done(&w->seen);
}

const char *manager_system_path(const Manager *m, const char *variable, const char *path)
{
    const char *other = getenv(variable);

    return other ? other : m->config.stand_in ? NULL : path;
}

static Controller *find(const ControllerList *l, const Controller *c)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, c->name) == 0 &&
            strcmp(l->items[i].subsysnqn, c->subsysnqn) == 0 &&
            strcmp(l->items[i].hostnqn, c->hostnqn) == 0)
            return &l->items[i];
    return NULL;
}

static void emit_moved(const Manager *m, const Controller *c)
{
    _cleanup_(key_in_use_done) KeyInUse u = {.use = KEY_USE_NONE};

    if (manager_judge_controller(m, c, &u) < 0)
        return;
    if (u.key)
        events_emit(m->events, EVENT_MOVED, u.key, c->tls_key, c->name);
    else
        events_emit_pair(m->events, EVENT_MOVED, c->hostnqn, c->subsysnqn, c->tls_key, c->name);
}

/* Between two connections a controller has no key, so the earlier one is remembered. */
static void note_moved(Manager *m, ControllerList *now)
{
    for (size_t i = 0; i < now->n; i++) {
        Controller *c = &now->items[i];
        const Controller *before = find(&m->watch.seen, c);

        if (!before)
            continue;
        if (c->tls_key == 0)
            c->tls_key = before->tls_key;
        else if (before->tls_key != 0 && before->tls_key != c->tls_key)
            emit_moved(m, c);
    }
}

static void watch_keys(Manager *m, ControllerList *now)
{
    if (events_have_readers(m->events))
        note_moved(m, now);
    controller_list_done(&m->watch.seen);
    m->watch.seen = *now;
    *now = (ControllerList){NULL, 0};
}

bool manager_watch_controllers(Manager *m, uint64_t now_usec)
{
    _cleanup_(controller_list_done) ControllerList now = {NULL, 0};
    const char *stat = manager_system_path(m, NAMES_ENV_TLS_STAT, NAMES_TLS_STAT);
    ControllerWatch *w = &m->watch;
    bool may_stall;
    int r = 0;

    if (!stat || key_updates_read(stat, &w->updates) < 0)
        w->updates = (KeyUpdates){.counted = false};
    may_stall = key_updates_are_open(&w->updates);
    if (!may_stall)
        stalls_done(&w->stalls);
    if (!may_stall && !events_have_readers(m->events))
        return false;
    /* Without knowing the controllers, nothing is said about them. */
    if (manager_read_controllers(m, &now) < 0)
        return true;
    if (may_stall && now.n > 0)
        r = stalls_sample(&w->stalls, publisher_controllers(m->publisher), &now, now_usec);
    if (r < 0 || now.n == 0)
        stalls_done(&w->stalls);
    watch_keys(m, &now);
    return true;
}

const KeyUpdates *manager_key_updates(const Manager *m)
{
    return &m->watch.updates;
}

const Stalls *manager_stalls(const Manager *m)
{
    return &m->watch.stalls;
}

const StallDevice *manager_next_stalled(Manager *m)
{
    return stalls_next(&m->watch.stalls);
}
