/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/io.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/manager/limits.h"
#include "nvme-keyd/manager/manager-private.h"

/* The state that readers get. A look asks the kernel about each key, which costs more than the rest
 * of an answer, so readers share one. */

void manager_forget_look(Manager *m)
{
    m->look_usec = 0;
}

static void count_keys(const Manager *m, ManagerLook *look)
{
    uint64_t now = now_realtime();
    const Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        unsigned own = key_is_publishable(k, now) ? key_own_versions(&m->keys, k) : 0;
        bool missing = false;

        look->broken += k->state == KEY_BROKEN;
        look->expired += manager_has_expired(m, k);
        for (unsigned v = 0; v < KEY_VERSIONS; v++) {
            bool wanted = k->identities[v] && own & KEY_VERSION_BIT(v);

            look->identities += wanted;
            look->published += k->serials[v] != 0;
            missing |= wanted && !k->serials[v];
        }
        look->missing += missing && key_lifetime(k, look->on_demand_sec) == 0;
    }
}

/* What has cost more is shared for longer. */
static void share_look(Manager *m, uint64_t start)
{
    uint64_t now = now_monotonic(), share = LOOK_SHARE * (now - start);

    m->look_usec = now + (share > LOOK_SHARED_USEC ? share : LOOK_SHARED_USEC);
}

const ManagerLook *manager_look(Manager *m, bool fresh)
{
    uint64_t start = now_monotonic();

    if (!fresh && start < m->look_usec && m->look_revision == publisher_revision(m->publisher))
        return &m->look;
    m->look = (ManagerLook){.ring = publisher_refresh(m->publisher),
                            .on_demand_sec = publisher_on_demand_sec(m->publisher)};
    count_keys(m, &m->look);
    m->look.knows_ours = !vault_store(m->vault) &&
                         (!m->look.ring || reconcile_count_ours(m->look.ring, &m->look.ours) == 0);
    m->look.has_tlshd = manager_look_tlshd(m, &m->look.tlshd);
    m->look_revision = publisher_revision(m->publisher);
    m->watch.counted = false;
    share_look(m, start);
    return &m->look;
}

int manager_look_controllers(Manager *m, const ControllerCounts **ret)
{
    uint64_t start = now_monotonic();
    ControllerWatch *w = &m->watch;

    if (!w->counted) {
        w->counts_error = manager_count_controllers(m, &w->counts);
        w->counted = true;
        share_look(m, start);
    }
    if (w->counts_error == 0)
        *ret = &w->counts;
    return w->counts_error;
}
