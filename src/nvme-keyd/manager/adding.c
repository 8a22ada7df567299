/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/manager/manager-private.h"

/*
 * Adding keys, several in one commit. A key is checked and staged by manager_add(): it is in the
 * table and in an open transaction, its payload in locked memory. manager_commit() then takes steps
 * 2 and 3 of change.c. Until then the key may still vanish, so nothing else may use the table.
 *
 * A staged key can be the reason to refuse another one. The batch is committed first then, and the
 * refused key is checked again: it gets the answer that it would have got without a batch, also if
 * the commit fails and the staged key is gone.
 */

struct Addition {
    Key *key; /* of the table */
    Secret *payload;
    ManagerAdded done;
    void *userdata;
};

/* Makes a key for a request if the other keys leave room for it. Returns -EEXIST or -ENOTUNIQ and
 * the key in the way, or an error of key_prepare() or vault_require_writable(). */
static int prepare(Manager *m, const KeyRequest *q, Key **ret, Key **reterr_other,
                   char **reterr_detail)
{
    const KeyCheck check = {.force = q->force, .kernel_is_exact = publisher_kernel_is_exact()};
    _cleanup_(key_freep) Key *k = NULL;
    int r;

    if ((r = key_prepare(q, &k, reterr_detail)) < 0 ||
        (r = vault_require_writable(m->vault, reterr_detail)) < 0 ||
        (r = key_check_neighbours(&m->keys, k, &check, reterr_other, reterr_detail)) < 0)
        return r;
    *ret = TAKE_PTR(k);
    return 0;
}

int manager_check_add(Manager *m, const KeyRequest *request, Key **reterr_other,
                      char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;

    manager_commit(m);
    return prepare(m, request, &k, reterr_other, reterr_detail);
}

/* Makes a key and its payload, after all checks. */
static int make(Manager *m, const KeyRequest *q, Key **ret, Secret **ret_payload,
                Key **reterr_other, char **reterr_detail)
{
    const KeyCheck check = {.force = q->force, .kernel_is_exact = publisher_kernel_is_exact()};
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    int r = prepare(m, q, &k, reterr_other, reterr_detail);

    if (r < 0)
        return r;
    /* The identities are known by now. The store comes last, so that none is made for a key that is
     * refused. */
    if ((r = key_fill(k, q->configured, &payload, reterr_detail)) < 0 ||
        (r = key_check_neighbours(&m->keys, k, &check, reterr_other, reterr_detail)) < 0 ||
        (r = manager_check_revoked(m, k, payload, reterr_detail)) < 0 ||
        (r = vault_require_store(m->vault, reterr_detail)) < 0)
        return r;
    *ret = TAKE_PTR(k);
    *ret_payload = TAKE_PTR(payload);
    return 0;
}

static void batch_done(Batch *b)
{
    Manager *m = b->transition.m;

    transition_done(&b->transition);
    free(b->additions);
    *b = (Batch){.transition = {.m = m}};
}

static int make_room(Batch *b)
{
    size_t n_max = 2 * b->n_max + 4;
    Addition *grown;

    if (b->n < b->n_max)
        return 0;
    grown = reallocarray(b->additions, n_max, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    b->additions = grown;
    b->n_max = n_max;
    return 0;
}

static int stage(Manager *m, const KeyRequest *q, const Addition *end, Key **reterr_other,
                 char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    Batch *b = &m->batch;
    int r = make(m, q, &k, &payload, reterr_other, reterr_detail);
    Key *new = k;

    if (r < 0 || (r = make_room(b)) < 0)
        return r;
    r = transition_add(&b->transition, &k, payload);
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    b->additions[b->n++] = (Addition){new, TAKE_PTR(payload), end->done, end->userdata};
    return 0;
}

void manager_add(Manager *m, const KeyRequest *request, ManagerAdded done, void *userdata)
{
    const Addition end = {.done = done, .userdata = userdata};
    _cleanup_(freep) char *detail = NULL;
    Key *other = NULL;
    int r;

    r = stage(m, request, &end, &other, &detail);
    if (r < 0 && other && other->is_changing) {
        manager_commit(m);
        free(detail);
        detail = NULL;
        other = NULL;
        r = stage(m, request, &end, &other, &detail);
    }
    /* The transaction would stay open. */
    if (m->batch.n == 0)
        batch_done(&m->batch);
    if (r < 0)
        done(r, other, detail, userdata);
}

void manager_commit(Manager *m)
{
    _cleanup_(freep) char *detail = NULL;
    Batch *b = &m->batch;
    int r;

    if (b->n == 0)
        return;
    r = transition_commit(&b->transition);
    if (r < 0)
        r = manager_store_failed(r, &detail);
    /* Takes back what was not committed. */
    transition_done(&b->transition);
    for (size_t i = 0; i < b->n; i++) {
        Addition *a = &b->additions[i];

        /* The key is stored even if publishing fails; its serials show whether it is in the ring.
         */
        if (r == 0)
            (void)!manager_settle_pair(m, a->key, a->key, a->payload);
        a->payload = secret_free(a->payload);
        a->done(r, r == 0 ? a->key : NULL, detail, a->userdata);
    }
    batch_done(b);
}
