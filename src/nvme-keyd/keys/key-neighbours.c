/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/keys/key-rules.h"

int key_check_neighbours(KeyTable *t, const Key *new, const KeyCheck *check, Key **ret,
                         char **reterr_detail)
{
    Key *k;

    KEY_TABLE_FOREACH_OF_PAIR(t, new, k)
    {
        if (key_is_handed_in(k) || (k->state != KEY_ACTIVE && k->state != KEY_PENDING))
            continue;
        *ret = k;
        if (key_collides(k, new))
            return key_collides_detail(new, k, reterr_detail);
        if (!check->force && key_rivals(k, new))
            return key_rivals_detail(k, reterr_detail);
    }
    *ret = check->force || check->kernel_is_exact ? NULL : key_table_find_shadow(t, new);
    return *ret ? key_shadow_detail(*ret, reterr_detail) : 0;
}

static bool takes_identity(const Key *other, const Key *k, unsigned version, uint64_t now_usec)
{
    return k->identities[version] && other->identities[version] &&
           strcmp(other->identities[version], k->identities[version]) == 0 &&
           key_is_publishable(other, now_usec) && key_goes_before(other, k);
}

unsigned key_own_versions(const KeyTable *t, const Key *k)
{
    unsigned versions = k->versions;
    uint64_t now = now_realtime();
    const Key *other;

    if (k->state == KEY_ACTIVE)
        return versions;
    KEY_TABLE_FOREACH_OF_PAIR(t, k, other)
    {
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (other != k && takes_identity(other, k, v, now))
                versions &= ~KEY_VERSION_BIT(v);
    }
    return versions;
}
