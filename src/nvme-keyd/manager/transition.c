/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/transition.h"

/* All that a transition may change. */
struct Former {
    Key *key;
    KeyState state;
    KeyStep step;
    bool follow, due, unsynchronized;
    uint64_t rotate_usec;
    uint64_t changed_usec, confirmed_usec, planned_usec, deadline_usec, uptime_deadline_usec;
};

int transition_begin(Transition *t)
{
    if (t->now_usec == 0)
        t->now_usec = now_realtime();
    if (t->store || t->trial || store_is_export(vault_store(t->m->vault)))
        return 0;
    return store_begin(vault_store(t->m->vault), &t->store);
}

static int make_room_to_add(Transition *t)
{
    size_t n_max = 2 * t->n_added_max + 1;
    Key **grown;

    if (t->n_added < t->n_added_max)
        return 0;
    grown = reallocarray(t->added, n_max, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    t->added = grown;
    t->n_added_max = n_max;
    return 0;
}

/* Only the table gets the key. */
static int add_on_trial(Transition *t, Key *k)
{
    (void)snprintf(k->id, sizeof(k->id), "%016zx", t->n_added);
    return key_table_insert(&t->m->keys, k);
}

int transition_add(Transition *t, Key **k, const Secret *payload)
{
    int r = transition_begin(t);

    if (r == 0)
        r = make_room_to_add(t);
    if (r == 0)
        r = t->trial ? add_on_trial(t, *k) : manager_stage(t->m, t->store, *k, payload);
    if (r < 0)
        return r;
    (*k)->is_changing = true;
    t->added[t->n_added++] = TAKE_PTR(*k);
    return 0;
}

int transition_take(Transition *t, Key *k)
{
    if (k->is_changing)
        return 0;
    if (t->n == t->n_max) {
        size_t n_max = 2 * t->n_max + 4;
        Former *grown = reallocarray(t->former, n_max, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        t->former = grown;
        t->n_max = n_max;
    }
    t->former[t->n++] = (Former){.key = k,
                                 .state = k->state,
                                 .step = k->step,
                                 .follow = k->follow,
                                 .rotate_usec = k->rotate_usec,
                                 .due = k->due,
                                 .unsynchronized = k->unsynchronized,
                                 .changed_usec = k->changed_usec,
                                 .confirmed_usec = k->confirmed_usec,
                                 .planned_usec = k->planned_usec,
                                 .deadline_usec = k->deadline_usec,
                                 .uptime_deadline_usec = k->uptime_deadline_usec};
    k->is_changing = true;
    return transition_begin(t);
}

static void take_back(const Former *f)
{
    Key *k = f->key;

    k->state = f->state;
    k->step = f->step;
    k->follow = f->follow;
    k->rotate_usec = f->rotate_usec;
    k->due = f->due;
    k->unsynchronized = f->unsynchronized;
    k->changed_usec = f->changed_usec;
    k->confirmed_usec = f->confirmed_usec;
    k->planned_usec = f->planned_usec;
    k->deadline_usec = f->deadline_usec;
    k->uptime_deadline_usec = f->uptime_deadline_usec;
}

void transition_plan(const Transition *t, Key *k, KeyStep step, uint64_t deadline_usec)
{
    k->step = step;
    k->deadline_usec = step == KEY_STEP_NONE ? 0 : CONST_MAX(deadline_usec, 1U);
    k->planned_usec = step == KEY_STEP_NONE ? 0 : t->now_usec;
    k->uptime_deadline_usec = 0;
    k->due = false;
    k->unsynchronized = false;
}

void transition_plan_span(const Transition *t, Key *k, KeyStep step, uint64_t deadline_usec)
{
    transition_plan(t, k, step, deadline_usec);
    k->unsynchronized = step != KEY_STEP_NONE && !clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
}

/* A key that retires is removed after RetireSec=. If it is displaced, an end that was planned for
 * an earlier time stays. */
static void plan_end(const Transition *t, Key *k, KeyEvent event)
{
    bool ends = k->step == KEY_STEP_REVOKE || k->step == KEY_STEP_REMOVE;
    uint64_t deadline;

    if (__builtin_add_overflow(t->now_usec, t->m->config.retire_usec, &deadline) ||
        deadline > INT64_MAX)
        deadline = 0;
    if (event != KEY_EVENT_RETIRE && ends && (deadline == 0 || k->deadline_usec < deadline))
        return;
    transition_plan_span(t, k, deadline > 0 ? KEY_STEP_REMOVE : KEY_STEP_NONE, deadline);
}

/* The keys that an active key of a host has replaced lose their end with it, because it has not
 * been known to work: one of them may be the only PSK that the target has. */
static int keep_ways_back(Transition *t, const Key *k)
{
    int r = 0;
    Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(&t->m->keys, k, o)
    {
        if (r < 0 || o == k || o->state != KEY_RETIRING || o->step != KEY_STEP_REMOVE ||
            !manager_share_place(t->m, o, k))
            continue;
        r = transition_take(t, o);
        transition_plan(t, o, KEY_STEP_NONE, 0);
    }
    return r;
}

static bool is_unproved(const Key *k)
{
    return k->state == KEY_ACTIVE && k->role & KEY_ROLE_HOST && k->confirmed_usec == 0;
}

int transition_apply(Transition *t, Key *k, KeyEvent event)
{
    int r = transition_take(t, k);
    KeyState next = k->state;

    if (r < 0 || key_life_next(k->state, event, k->role, &next))
        return r < 0 ? r : -EINVAL;
    if ((next == KEY_GONE || next == KEY_REVOKED) && is_unproved(k) &&
        (r = keep_ways_back(t, k)) < 0)
        return r;
    if (next != k->state)
        k->changed_usec = t->now_usec;
    k->state = next;
    k->follow = false;
    if (next == KEY_RETIRING) {
        plan_end(t, k, event);
        /* If it becomes active again, its peer may have dropped it by then. */
        k->confirmed_usec = 0;
    } else {
        transition_plan(t, k, KEY_STEP_NONE, 0);
    }
    return 0;
}

static int write_record(const Transition *t, const Former *f)
{
    _cleanup_(freep) char *meta = NULL;

    if (f->key->state == KEY_GONE)
        return store_remove(t->store, f->key->id);
    meta = key_to_meta(f->key);
    return meta ? store_replace(t->store, f->key->id, meta, NULL) : -ENOMEM;
}

static void emit(const Transition *t, const Key *k, KeyState before)
{
    static const EventKind kinds[] = {[KEY_ACTIVE] = EVENT_SWITCHED,
                                      [KEY_RETIRING] = EVENT_RETIRED,
                                      [KEY_REVOKED] = EVENT_REVOKED,
                                      [KEY_GONE] = EVENT_REMOVED};

    if (k->state != before && k->state != KEY_PENDING)
        events_emit(t->m->events, kinds[k->state], k, 0, NULL);
}

static void settle(const Transition *t, Key *k)
{
    const StoreRecord *record = store_find(vault_store(t->m->vault), k->id);

    if (record)
        k->generation = record->generation;
}

int transition_commit(Transition *t)
{
    int r = 0;

    for (size_t i = 0; i < t->n && r == 0 && t->store; i++)
        r = write_record(t, &t->former[i]);
    if (r == 0 && t->store)
        r = store_commit(t->store);
    if (r < 0)
        return r;
    for (size_t i = 0; i < t->n; i++) {
        settle(t, t->former[i].key);
        emit(t, t->former[i].key, t->former[i].state);
        /* A retiring key that is active again is one whose end is reported. */
        manager_note_expiry(t->m, t->former[i].key);
        t->former[i].key->is_changing = false;
    }
    for (size_t i = 0; i < t->n_added; i++) {
        settle(t, t->added[i]);
        t->added[i]->is_changing = false;
        /* The one that it replaces is among the others. */
        if (t->added[i]->succeeds[0])
            emit(t, t->added[i], KEY_PENDING);
    }
    t->n = t->n_added = 0;
    manager_forget_look(t->m);
    return 0;
}

void transition_done(Transition *t)
{
    for (size_t i = 0; i < t->n; i++) {
        take_back(&t->former[i]);
        t->former[i].key->is_changing = false;
    }
    free(t->former);
    for (size_t i = 0; i < t->n_added; i++)
        key_table_remove(&t->m->keys, t->added[i]);
    free(t->added);
    store_end(t->store);
    *t = (Transition){.m = t->m};
}
