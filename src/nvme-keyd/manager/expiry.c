/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "basic/io.h"
#include "nvme-keyd/manager/limits.h"
#include "nvme-keyd/manager/manager-private.h"

/* The ends of lifetimes, which are only warned about: a key that left the ring because it is old
 * would take controllers with it. */

/* A key that is on its way out needs no warning. */
static bool is_watched(const Key *k)
{
    return k->state == KEY_ACTIVE || k->state == KEY_PENDING;
}

/* When a key expires that has not been reported, 0 for never. */
static uint64_t next_expiry(const Manager *m, const Key *k)
{
    return is_watched(k) && !k->expiry_logged ? key_expiry(k, m->config.max_age_usec) : 0;
}

void manager_note_expiry(Manager *m, const Key *k)
{
    uint64_t usec = next_expiry(m, k);

    if (usec > 0 && (m->expiry_usec == 0 || usec < m->expiry_usec))
        m->expiry_usec = usec;
}

void manager_update_expiry(Manager *m)
{
    const Key *k;

    m->expiry_usec = 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        manager_note_expiry(m, k);
    }
}

uint64_t manager_expiry(const Manager *m)
{
    return m->expiry_usec == 0 ? 0 : m->expiry_usec + EXPIRY_GROUP_USEC;
}

size_t manager_take_expired(Manager *m, const Key **ret, size_t n_max)
{
    uint64_t now = now_realtime();
    size_t n = 0;
    Key *k;

    if (m->expiry_usec == 0 || manager_expiry(m) > now)
        return 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        uint64_t usec = next_expiry(m, k);

        if (usec == 0 || usec > now)
            continue;
        k->expiry_logged = true;
        if (n < n_max)
            ret[n] = k;
        n++;
    }
    manager_update_expiry(m);
    return n;
}

bool manager_has_expired(const Manager *m, const Key *k)
{
    uint64_t usec = is_watched(k) ? key_expiry(k, m->config.max_age_usec) : 0;

    return usec > 0 && usec <= now_realtime();
}
