/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/clock.h"
#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/manager/manager-private.h"

/*
 * Retiring keys and their deadlines.
 *
 * Each key has two. The deadline in its record is a time of the wall clock, which survives a
 * reboot, but may be wrong: decades ahead, or set back. Until the clock is synchronised, this
 * deadline only causes what can be undone: a key past it leaves the ring and returns if the clock
 * turns out to be wrong, but its record stays. The second deadline is an uptime, which cannot be
 * set. It is never further away than the whole time that the key has to retire, so a clock that is
 * set back does not keep a key for longer, and it suffices to remove the key.
 *
 *    wall deadline   synchronised   uptime deadline   in the ring   in the store
 *    ahead           -              ahead             yes           yes
 *    past            no             ahead             no            yes
 *    past            yes            -                 no            no
 *    -               -              past              no            no
 */

/* The uptime deadline of a key that was just loaded. Without a synchronised clock we cannot know
 * how much of its time has passed, so it gets the whole span. */
static uint64_t uptime_deadline(const Key *k, uint64_t realtime, bool synchronized)
{
    uint64_t span = k->deadline_usec > k->changed_usec ? k->deadline_usec - k->changed_usec : 0;
    uint64_t left = k->deadline_usec > realtime ? k->deadline_usec - realtime : 0;

    return now_boottime() + (synchronized ? CONST_MIN(left, span) : span);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

void manager_update_deadline(Manager *m)
{
    bool synchronized = clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
    uint64_t realtime = now_realtime(), boottime = now_boottime();
    ManagerDue due = {0};
    Key *k;

    manager_forget_look(m);
    m->deadline_usec = 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (k->state != KEY_RETIRING || k->step != KEY_STEP_REMOVE)
            continue;
        if (k->uptime_deadline_usec == 0)
            k->uptime_deadline_usec = uptime_deadline(k, realtime, synchronized);
        k->due |= k->uptime_deadline_usec <= boottime;
        m->deadline_usec = earlier(m->deadline_usec, k->deadline_usec);
        if (k->due || (synchronized && k->deadline_usec <= realtime)) {
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
    const Key *o = key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                  strlen(k->subsysnqn));

    for (; o && publisher_ring_serial(m->publisher); o = o->next_of_pair)
        if (o->state == KEY_ACTIVE && publisher_lacks(m->publisher, o))
            return true;
    return k->role & KEY_ROLE_HOST && (k->serials[0] || k->serials[1]) &&
           publisher_needed_by(m->publisher, need, k, controller) != 0;
}

static size_t collect_due(Manager *m, Key **ret)
{
    bool synchronized = clock_is_synchronized(NAMES_CLOCK_SYNCHRONIZED);
    _cleanup_(publisher_need_done) PublisherNeed need = {.looked = false};
    uint64_t now = now_realtime();
    size_t n = 0;
    Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (k->state == KEY_RETIRING && k->step == KEY_STEP_REMOVE &&
            (k->due || (synchronized && k->deadline_usec <= now)) &&
            !covers_missing_key(m, &need, k))
            ret[n++] = k;
    }
    return n;
}

int manager_retire_due(Manager *m)
{
    _cleanup_(freep) Key **gone = calloc(key_table_size(&m->keys) + 1, sizeof(*gone));
    size_t n = 0;
    int r = 0;

    if (!gone)
        return -ENOMEM;
    manager_update_deadline(m);
    if (m->due.overdue)
        n = collect_due(m, gone);
    if (n == 0)
        return 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = publisher_ring_serial(m->publisher) ? publisher_withdraw(m->publisher, gone[i]) : 0;
    /* An export for a boot image is read-only; the store itself drops the keys later. */
    if (r == 0 && !store_is_export(vault_store(m->vault)))
        r = manager_commit_removal(m, gone, n);
    for (size_t i = 0; i < n && r == 0; i++)
        key_table_remove(&m->keys, gone[i]);
    manager_update_deadline(m);
    return r;
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
