/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"

/*
 * Steps of keys at their time.
 *
 * Each step has two deadlines. The one in the record is a time of the wall clock, which survives a
 * reboot, but may be wrong: decades ahead, or set back. Until the clock is synchronised, this
 * deadline only causes what can be undone: a retiring key past it leaves the ring and returns if
 * the clock turns out to be wrong, but its record stays. The second deadline is an uptime, which
 * cannot be set. It is never further away than the time for which the step was planned, so a clock
 * that is set back does not put a step off for longer, and it suffices to take the step.
 *
 *    wall deadline   synchronised   uptime deadline   retiring key in the ring   step
 *    ahead           -              ahead             yes                        to come
 *    past            no             ahead             no                         to come
 *    past            yes            -                 no                         taken
 *    -               -              past              no                         taken
 *
 * A step that was planned for a span from now, by a clock that was not synchronised, has a wall
 * deadline that is as wrong as that clock. So it moves with each step of the clock, until the clock
 * is synchronised; then it is right and stays. If that has happened before the key was loaded, it
 * is unknown how much of the span has passed, so the span begins again.
 *
 * All steps that are due are taken in one commit, activations first, so that no host is without a
 * key in between. A step that would cost a controller its key stays due. So does the removal of a
 * key that a host has replaced, until the new one is known to have worked: it is the way back.
 */

/* The uptime deadline of a step that was just planned or loaded. Without a synchronised clock we
 * cannot know how much of its time has passed, so it gets the whole span. */
static uint64_t uptime_deadline(const Key *k, uint64_t realtime, bool synchronized)
{
    uint64_t span = k->deadline_usec > k->planned_usec ? k->deadline_usec - k->planned_usec : 0;
    uint64_t left = k->deadline_usec > realtime ? k->deadline_usec - realtime : 0;

    return now_boottime() + (synchronized ? CONST_MIN(left, span) : span);
}

/* A clock that is slewed has the rate of the uptime, so a smaller difference is no step. */
#define CLOCK_STEP_USEC USEC_PER_SEC

static void move_plan(Key *k, int64_t usec)
{
    int64_t deadline, planned;

    if (__builtin_add_overflow((int64_t)k->deadline_usec, usec, &deadline))
        deadline = INT64_MAX;
    if (__builtin_add_overflow((int64_t)k->planned_usec, usec, &planned))
        planned = INT64_MAX;
    k->deadline_usec = (uint64_t)CONST_MAX(deadline, 1);
    k->planned_usec = (uint64_t)CONST_MAX(planned, 0);
    k->moved = true;
}

static void follow_clock(Key *k, uint64_t realtime, uint64_t boottime, bool synchronized)
{
    int64_t offset = (int64_t)(realtime - boottime), step = offset - k->clock_offset_usec;

    if (k->uptime_deadline_usec == 0) {
        step = synchronized ? (int64_t)(realtime - k->planned_usec) : 0;
        k->clock_offset_usec = offset;
    }
    if (step >= (int64_t)CLOCK_STEP_USEC || step <= -(int64_t)CLOCK_STEP_USEC) {
        move_plan(k, step);
        k->clock_offset_usec = offset;
    }
    k->moved |= synchronized;
    k->unsynchronized = !synchronized;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

Key *manager_find_successor(Manager *m, const Key *k)
{
    Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o != k && o->state == KEY_ACTIVE && !key_is_handed_in(o) &&
            manager_share_place(m, o, k))
            return o;
    }
    return NULL;
}

/* True if a key is the way back from one of which it is not known that it works. */
static bool is_way_back(Manager *m, const Key *k)
{
    const Key *successor;

    if (k->state != KEY_RETIRING || k->step != KEY_STEP_REMOVE || !(k->role & KEY_ROLE_HOST))
        return false;
    successor = manager_find_successor(m, k);
    return successor && successor->confirmed_usec == 0;
}

static bool is_due(const Key *k, uint64_t realtime, bool synchronized)
{
    return k->step != KEY_STEP_NONE && (k->due || (synchronized && k->deadline_usec <= realtime));
}

void manager_update_deadline(Manager *m)
{
    bool synchronized = clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
    uint64_t realtime = now_realtime(), boottime = now_boottime();
    ManagerDue due = {0};
    Key *k;

    manager_forget_look(m);
    m->deadline_usec = 0;
    m->unconfirmed = false;
    m->n_following = 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        m->n_following += k->state == KEY_PENDING && k->follow;
        if (k->step == KEY_STEP_NONE)
            continue;
        if (k->unsynchronized)
            follow_clock(k, realtime, boottime, synchronized);
        m->plans_moved |= k->moved;
        if (k->uptime_deadline_usec == 0)
            k->uptime_deadline_usec = uptime_deadline(k, realtime, synchronized);
        k->due |= k->uptime_deadline_usec <= boottime;
        /* No time will tell. */
        if (is_due(k, realtime, synchronized) && is_way_back(m, k)) {
            m->unconfirmed = true;
            continue;
        }
        m->deadline_usec = earlier(m->deadline_usec, k->deadline_usec);
        if (is_due(k, realtime, synchronized)) {
            due.overdue = true;
            continue;
        }
        due.boottime_usec = earlier(due.boottime_usec, k->uptime_deadline_usec);
        if (k->deadline_usec <= realtime)
            due.unsynchronized++;
        else
            due.realtime_usec = earlier(due.realtime_usec, k->deadline_usec);
    }
    m->due = due;
}

/* True if an active key of the pair could not be published yet, or a controller needs this one. */
static bool covers_missing_key(Manager *m, PublisherNeed *need, const Key *k)
{
    char controller[32];
    const Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o != k && publisher_ring_serial(m->publisher) && o->state == KEY_ACTIVE &&
            publisher_lacks(m->publisher, o))
            return true;
    }
    return k->role & KEY_ROLE_HOST && (k->serials[0] || k->serials[1]) &&
           publisher_needed_by(m->publisher, need, k, controller) != 0;
}

static bool may_take(Manager *m, PublisherNeed *need, const Key *k)
{
    switch (k->step) {
    case KEY_STEP_RETIRE:
        return !manager_is_last(m, k);
    case KEY_STEP_REMOVE:
        return !is_way_back(m, k) && !covers_missing_key(m, need, k);
    case KEY_STEP_REVOKE:
        return !(k->role & KEY_ROLE_HOST) || !covers_missing_key(m, need, k);
    default:
        return true;
    }
}

/* The steps of one round. */
typedef struct Round {
    Transition t;
    PublisherNeed need;
    Key **keys;
    KeyStep *steps; /* of the keys, as they are to be reported; or none */
    size_t n;
} Round;

static void round_done(Round *r)
{
    transition_done(&r->t);
    publisher_need_done(&r->need);
    free(r->keys);
    free(r->steps);
}

/* A host asks its targets before it switches (follow.h), from this time on. */
static int begin_following(Transition *t, Key *k)
{
    int r = transition_take(t, k);

    if (r < 0)
        return r;
    k->follow = true;
    transition_plan(t, k, KEY_STEP_NONE, 0);
    return 0;
}

/* Sets *ret_step to what is to be reported after the commit. */
static int take_step(Round *round, Key *k, KeyStep *ret_step)
{
    const char *why;
    KeyState next;

    why = key_life_next(k->state, key_life_event(k->step), k->role, &next);
    if (why) {
        /* No program of ours plans such a step. */
        int r = transition_take(&round->t, k);

        transition_plan(&round->t, k, KEY_STEP_NONE, 0);
        return r;
    }
    if (k->step == KEY_STEP_ACTIVATE && k->role & KEY_ROLE_HOST)
        return begin_following(&round->t, k);
    *ret_step = k->step;
    switch (k->step) {
    case KEY_STEP_ACTIVATE:
        return manager_switch(&round->t, k);
    case KEY_STEP_REVOKE:
        return manager_end_psk(&round->t, k);
    default:
        return transition_apply(&round->t, k, key_life_event(k->step));
    }
}

/* Takes the activations that are due, or the other steps. */
static int take_due(Manager *m, Round *round, bool activations)
{
    bool synchronized = clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
    uint64_t now = now_realtime();
    int r = 0;
    Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        bool activates = k->step == KEY_STEP_ACTIVATE;

        if (r < 0 || !is_due(k, now, synchronized) || activates != activations ||
            !may_take(m, &round->need, k))
            continue;
        r = take_step(round, k, &round->steps[round->n]);
        round->keys[round->n++] = k;
    }
    return r;
}

/* The new key of a host has worked if a live controller uses it. */
static int confirm_used(Manager *m, PublisherNeed *need)
{
    int r = 0;
    Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        Key *successor = r == 0 && is_way_back(m, k) ? manager_find_successor(m, k) : NULL;

        if (successor && publisher_is_used(m->publisher, need, successor))
            r = manager_confirm(m, successor);
    }
    return r;
}

/* Makes room for the steps of a round, so that each one can be noted once it is in force. */
static int reserve_steps(Manager *m, size_t n)
{
    TakenStep *items = reallocarray(m->steps.items, m->steps.n + n + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    m->steps.items = items;
    return 0;
}

static void note_step(Manager *m, const Key *k, KeyStep step)
{
    TakenStep *t;

    if (step == KEY_STEP_NONE)
        return;
    t = &m->steps.items[m->steps.n++];
    t->step = step;
    (void)snprintf(t->id, sizeof(t->id), "%s", k->id);
    (void)snprintf(t->hostnqn, sizeof(t->hostnqn), "%s", k->hostnqn);
    (void)snprintf(t->subsysnqn, sizeof(t->subsysnqn), "%s", k->subsysnqn);
}

/* After the commit. */
static int settle_round(Manager *m, const Round *round)
{
    int error = 0;

    for (size_t i = 0; i < round->n; i++) {
        int r = manager_settle_pair(m, round->keys[i], NULL, NULL);

        if (r != -ENOKEY && error == 0)
            error = r;
        note_step(m, round->keys[i], round->steps[i]);
    }
    for (size_t i = 0; i < round->n; i++)
        if (round->keys[i]->state == KEY_GONE)
            key_table_remove(&m->keys, round->keys[i]);
    return error;
}

static int take_round(Manager *m)
{
    _cleanup_(round_done) Round round = {.t = {.m = m}};
    int r;

    round.keys = calloc(2 * key_table_size(&m->keys) + 1, sizeof(*round.keys));
    round.steps = calloc(2 * key_table_size(&m->keys) + 1, sizeof(*round.steps));
    if (!round.keys || !round.steps)
        return -ENOMEM;
    if ((r = confirm_used(m, &round.need)) < 0 || (r = take_due(m, &round, true)) < 0 ||
        (r = take_due(m, &round, false)) < 0 || round.t.n == 0 ||
        (r = reserve_steps(m, round.n)) < 0)
        return r;
    r = transition_commit(&round.t);
    if (r == 0)
        r = settle_round(m, &round);
    manager_update_deadline(m);
    return r;
}

/* Until this has succeeded, the next instance knows the plans as they were. */
static int write_moved(Manager *m)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    int r = 0;
    Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (r == 0 && k->moved)
            r = transition_take(&t, k);
    }
    if (r == 0)
        r = transition_commit(&t);
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        k->moved &= r < 0;
    }
    m->plans_moved = r < 0;
    return r;
}

int manager_take_steps(Manager *m)
{
    int r = 0;

    manager_update_deadline(m);
    if (m->plans_moved && (r = write_moved(m)) < 0)
        return r;
    if (m->due.overdue || m->unconfirmed)
        r = take_round(m);
    return r;
}

const TakenStep *manager_next_step(Manager *m)
{
    TakenSteps *l = &m->steps;

    if (l->n_reported < l->n)
        return &l->items[l->n_reported++];
    free(l->items);
    *l = (TakenSteps){.n = 0};
    return NULL;
}

uint64_t manager_deadline(const Manager *m)
{
    return m->deadline_usec;
}

void manager_due(const Manager *m, ManagerDue *ret)
{
    *ret = m->due;
    /* Past since the last update: its timer is late, or nothing could be done. */
    if (ret->realtime_usec > 0 && ret->realtime_usec <= now_realtime()) {
        ret->realtime_usec = 0;
        ret->overdue = true;
    }
    if (ret->boottime_usec > 0 && ret->boottime_usec <= now_boottime()) {
        ret->boottime_usec = 0;
        ret->overdue = true;
    }
}
