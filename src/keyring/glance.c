/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <stdlib.h>
#include <string.h>

#include "keyring/glance.h"

/* No description of a key for NVMe begins with it. One byte, because the kernel compares as many
 * bytes of each description. */
#define NO_DESCRIPTION "!"

void glance_done(Glance *g)
{
    free(g->serials);
    free(g->spare);
    *g = (Glance){.serials = NULL};
}

static int grow(Glance *g, size_t n)
{
    int32_t *grown = reallocarray(g->spare, n, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    g->spare = grown;
    grown = reallocarray(g->serials, n, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    g->serials = grown;
    g->n_max = n;
    return 0;
}

/* Reads the serials into spare. Returns their number, or an error. */
static long read_serials(Glance *g, const Ring *r)
{
    for (;;) {
        long n = keyctl_read(ring_serial(r), (char *)g->spare, g->n_max * sizeof(*g->spare));

        if (n < 0)
            return -errno;
        if ((size_t)n <= g->n_max * sizeof(*g->spare))
            return n / (long)sizeof(*g->spare);
        /* Room for a few more saves the next round. */
        if (grow(g, (size_t)n / sizeof(*g->spare) + 64) < 0)
            return -ENOMEM;
    }
}

/* The key type `user` finds a key by a hash, without a look at the others, so each key of the
 * stand-in is asked. */
static bool has_dead(const Glance *g, const Ring *r)
{
    if (!ring_updates(r))
        return ring_has_dead(r, NO_DESCRIPTION);
    for (size_t i = 0; i < g->n; i++)
        if (ring_key_state(g->serials[i]) < 0)
            return true;
    return false;
}

int glance_look(Glance *g, const Ring *r)
{
    bool first = g->n_max == 0, same;
    int32_t *read;
    long n;

    if (first && grow(g, 64) < 0)
        n = -ENOMEM;
    else
        n = read_serials(g, r);
    if (n < 0) {
        glance_done(g);
        return (int)n;
    }
    same = !first && (size_t)n == g->n &&
           memcmp(g->serials, g->spare, (size_t)n * sizeof(*g->serials)) == 0;
    read = g->spare;
    g->spare = g->serials;
    g->serials = read;
    g->n = (size_t)n;
    if (!same)
        return GLANCE_CHANGED;
    return has_dead(g, r) ? GLANCE_DEAD : GLANCE_SAME;
}
