/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "basic/names.h"
#include "nvme-keyd/guard.h"
#include "nvme-keyd/manager-private.h"

/* What controllers stand on, and what somebody has to look at in the ring. */

const char *manager_controllers(const Manager *m)
{
    const char *directory = getenv(NAMES_ENV_CONTROLLERS);

    if (directory)
        return directory;
    return m->config.stand_in ? NULL : NAMES_CONTROLLERS;
}

static const Controller *find_needing(const ControllerList *controllers, const KeyTable *table,
                                      const Key *k, const RingList *list)
{
    const Controller *c = NULL;

    for (size_t i = 0; i < list->n && !c; i++)
        for (unsigned v = 0; v < KEY_VERSIONS && !c; v++)
            if (k->serials[v] && k->serials[v] == list->keys[i].serial)
                c = guard_find(controllers, table, k, list, i);
    return c;
}

int manager_needed_by(const Manager *m, const Key *k, char ret[static 32])
{
    _cleanup_(controller_list_done) ControllerList controllers = {NULL, 0};
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    const char *directory = manager_controllers(m);
    const Controller *c;
    int r = directory ? controllers_read(directory, &controllers) : 0;

    if (r < 0 || controllers.n == 0 || !m->ring)
        return r;
    r = ring_list(m->ring, &list);
    if (r < 0)
        return r;
    c = find_needing(&controllers, &m->keys, k, &list);
    if (c)
        snprintf(ret, 32, "%s", c->name);
    return c != NULL;
}

void manager_release_held(Manager *m)
{
    SyncResult result;
    int r;

    if (ring_notices_count(&m->notices, RING_NOTICE_HELD) == 0 || !m->ring)
        return;
    /* The next look at the ring tries again. */
    r = manager_resync(m, &result);
    (void)r;
}

const RingNotices *manager_ring_notices(const Manager *m)
{
    return &m->notices;
}

const RingNotice *manager_next_ring_notice(Manager *m)
{
    return ring_notices_next(&m->notices);
}
