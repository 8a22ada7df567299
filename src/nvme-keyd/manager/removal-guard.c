/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "basic/names.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/publish/guard.h"

/* What controllers stand on, and what somebody has to look at in the ring. */

const char *manager_controllers(const Manager *m)
{
    const char *directory = getenv(NAMES_ENV_CONTROLLERS);

    if (directory)
        return directory;
    return m->config.stand_in ? NULL : NAMES_CONTROLLERS;
}

void manager_guard_done(ManagerGuard *g)
{
    controller_list_done(&g->controllers);
    ring_list_done(&g->list);
    *g = (ManagerGuard){.looked = false};
}

static int look(Manager *m, ManagerGuard *g)
{
    const char *directory = manager_controllers(m);
    const Ring *ring;
    int r;

    if (g->looked)
        return g->error;
    g->looked = true;
    g->error = directory ? controllers_read(directory, &g->controllers) : 0;
    if (g->error < 0 || g->controllers.n == 0)
        return g->error;
    ring = manager_ring(m, &r);
    if (ring)
        g->error = ring_list(ring, &g->list);
    return g->error;
}

int manager_needed_by(Manager *m, ManagerGuard *g, const Key *k, char ret[static 32])
{
    const Guard guard = {&g->controllers, &m->keys, &g->list, manager_on_demand_sec(m)};
    int r = look(m, g);

    if (r < 0)
        return r;
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        const Controller *c =
            k->identities[v] ? guard_find(&guard, k, k->serials[v], k->identities[v]) : NULL;

        if (c) {
            snprintf(ret, 32, "%s", c->name);
            return 1;
        }
    }
    return 0;
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
