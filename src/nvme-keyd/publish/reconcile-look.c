/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "nvme-keyd/publish/reconcile.h"

/* The parts of reconcile.h that look at the whole ring, and add and unlink nothing. */

static int compare_serials(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int reconcile_refresh(const Ring *ring, const KeyTable *table)
{
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    _cleanup_(freep) int32_t *serials = NULL;
    Key *k;
    int r;

    r = ring_list(ring, &list);
    if (r < 0)
        return r;
    serials = calloc(list.n + 1, sizeof(*serials));
    if (!serials)
        return -ENOMEM;
    for (size_t i = 0; i < list.n; i++)
        serials[i] = list.keys[i].serial;
    qsort(serials, list.n, sizeof(*serials), compare_serials);

    KEY_TABLE_FOREACH(table, k)
    {
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (k->serials[v] &&
                !bsearch(&k->serials[v], serials, list.n, sizeof(*serials), compare_serials)) {
                k->lost[v] = k->serials[v];
                k->serials[v] = 0;
            }
    }
    return 0;
}

int reconcile_count_ours(const Ring *ring, size_t *ret)
{
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    size_t n = 0;
    int r = ring_list(ring, &list);

    if (r < 0)
        return r;
    for (size_t i = 0; i < list.n; i++)
        n += ring_key_is_ours(&list.keys[i]) && ring_key_is_configured(&list.keys[i]);
    *ret = n;
    return 0;
}

int reconcile_keep(const Ring *ring)
{
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    int r = ring_list(ring, &list), error = 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < list.n; i++) {
        const RingKey *have = &list.keys[i];

        if (!ring_key_is_ours(have) || !ring_key_is_configured(have))
            continue;
        r = ring_set_timeout(have->serial, 0);
        error = r < 0 ? r : error;
    }
    return error;
}
