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

int manager_needed_by(const Manager *m, const Key *k, char ret[static 32])
{
    _cleanup_(controller_list_done) ControllerList controllers = {NULL, 0};
    const char *directory = manager_controllers(m);
    int r = directory ? controllers_read(directory, &controllers) : 0;

    if (r < 0)
        return r;
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        const Controller *c =
            k->serials[v] ? guard_find(&controllers, &m->keys, k, k->serials[v], k->identities[v])
                          : NULL;

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
