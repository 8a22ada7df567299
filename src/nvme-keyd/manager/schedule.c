/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/manager/transition.h"

/* Rotations on a schedule. Nothing here acts by itself: nvme-keyd-rotate.timer has the time. */

/* The successor is not active yet, or the overlap of the last rotation is not over. */
static bool is_rotating(Manager *m, const Key *k)
{
    const Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o != k && !key_is_handed_in(o) &&
            (o->state == KEY_PENDING || o->state == KEY_RETIRING) && manager_share_place(m, o, k))
            return true;
    }
    return false;
}

bool manager_is_due(Manager *m, const Key *k)
{
    uint64_t due;

    return k->state == KEY_ACTIVE && k->rotate_usec > 0 && k->created_usec > 0 &&
           k->step == KEY_STEP_NONE && (k->role & KEY_ROLE_TARGET) &&
           !__builtin_add_overflow(k->created_usec, k->rotate_usec, &due) &&
           due <= now_realtime() && !is_rotating(m, k);
}

int manager_schedule(Manager *m, const char *id, uint64_t usec, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    Key *k;
    int r = manager_find(m, id, &k, reterr_detail);

    if (r < 0)
        return r;
    if (k->state != KEY_ACTIVE && k->state != KEY_PENDING)
        return detail_set(reterr_detail, -EBUSY, "key %s is %s: only the key in use is rotated", id,
                          key_state_to_string(k->state));
    if (usec > 0 && (r = key_check_schedule(k->role, reterr_detail)) < 0)
        return r;
    if ((r = transition_take(&t, k)) == 0) {
        k->rotate_usec = usec;
        r = transition_commit(&t);
    }
    return r < 0 ? manager_store_failed(r, reterr_detail) : 0;
}
