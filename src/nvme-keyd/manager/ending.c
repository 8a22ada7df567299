/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/manager/transition.h"

/* Retiring, revoking and removing keys, and planning it. */

/* Without the key that it uses, a controller would be deleted at its next reset. */
int manager_check_needed(Manager *m, const Key *k, char **reterr_detail)
{
    _cleanup_(publisher_need_done) PublisherNeed need = {.looked = false};
    char controller[32];
    int r = k->role & KEY_ROLE_HOST ? publisher_needed_by(m->publisher, &need, k, controller) : 0;

    if (r < 0)
        return detail_set(reterr_detail, -ENOTCONN,
                          "cannot find out whether a controller uses key %s: %s", k->id,
                          strerror(-r));
    if (r == 0)
        return 0;
    return detail_set(
        reterr_detail, -EADDRINUSE,
        "key %s is the only one of its pair, and controller %s would not survive its next "
        "reset without it: rotate the key, disconnect the controller, or force the removal",
        k->id, controller);
}

bool manager_is_last(Manager *m, const Key *k)
{
    const Key *o;

    if (k->state != KEY_ACTIVE || !(k->role & KEY_ROLE_HOST))
        return false;
    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o != k && o->state == KEY_ACTIVE && o->role & KEY_ROLE_HOST)
            return false;
    }
    return true;
}

static int check_last(Manager *m, const Key *k, char **reterr_detail)
{
    const Key *o;

    if (!manager_is_last(m, k))
        return 0;
    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o->state == KEY_PENDING)
            return detail_set(reterr_detail, -EADDRINUSE,
                              "key %s is the one that this host offers: activate key %s, which "
                              "retires it, or force it",
                              k->id, o->id);
    }
    return detail_set(reterr_detail, -EADDRINUSE,
                      "key %s is the only one of its pair, so a controller would not survive its "
                      "next reset without it: rotate the key, or force it",
                      k->id);
}

/* what: a participle. */
static int ring_failed(int error, const char *what, char **reterr_detail)
{
    if (error == 0 || error == -ENOKEY || error == -EKEYREVOKED)
        return 0;
    return detail_set(reterr_detail, -ENOTCONN, "%s, but still in the keyring: %s", what,
                      ring_error_text(error));
}

int manager_retire(Manager *m, const char *id, bool force, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    Key *k;
    int r;

    if ((r = manager_find(m, id, &k, reterr_detail)) < 0 ||
        (r = manager_check_life(k, KEY_EVENT_RETIRE, reterr_detail)) < 0 ||
        (!force && (r = check_last(m, k, reterr_detail)) < 0))
        return r;
    if ((r = transition_apply(&t, k, KEY_EVENT_RETIRE)) < 0 || (r = transition_commit(&t)) < 0)
        return manager_store_failed(r, reterr_detail);
    return ring_failed(manager_settle(m, k, NULL, NULL), "retiring", reterr_detail);
}

int manager_end_psk(Transition *t, Key *k)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    int r = 0;
    Key *o;

    (void)!key_unseal(k, &payload);
    KEY_TABLE_FOREACH_OF_PAIR(&t->m->keys, k, o)
    {
        if (r == 0 && !key_is_handed_in(o) && o->state != KEY_REVOKED &&
            (o == k || manager_has_psk(o, k, payload)))
            r = transition_apply(t, o, KEY_EVENT_REVOKE);
    }
    return r;
}

/* Refuses to end a PSK that a controller needs, in one derivation or another. */
static int check_psk_needed(Manager *m, const Key *k, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const Key *o;
    int r = 0;

    (void)!key_unseal(k, &payload);
    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (r == 0 && !key_is_handed_in(o) && o->state != KEY_REVOKED &&
            (o == k || manager_has_psk(o, k, payload)))
            r = manager_check_needed(m, o, reterr_detail);
    }
    return r;
}

int manager_revoke(Manager *m, const char *id, bool force, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    Key *k;
    int r;

    if ((r = manager_find(m, id, &k, reterr_detail)) < 0 ||
        (r = manager_check_life(k, KEY_EVENT_REVOKE, reterr_detail)) < 0 ||
        (!force && (r = check_psk_needed(m, k, reterr_detail)) < 0))
        return r;
    if ((r = manager_end_psk(&t, k)) < 0 || (r = transition_commit(&t)) < 0)
        return manager_store_failed(r, reterr_detail);
    return ring_failed(manager_settle(m, k, NULL, NULL), "revoked", reterr_detail);
}

/* A broken record has no names, so its key in the ring is only found by looking at all of them. */
static int withdraw_broken(Manager *m, Key *k)
{
    ReconcileResult result;

    key_table_remove(&m->keys, k);
    return publisher_ring_serial(m->publisher) ? manager_reconcile_now(m, &result) : 0;
}

int manager_remove(Manager *m, const char *id, bool force, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    Key *k;
    int r;

    if ((r = manager_find(m, id, &k, reterr_detail)) < 0 ||
        (!force && (r = manager_check_needed(m, k, reterr_detail)) < 0))
        return r;
    if ((r = transition_apply(&t, k, KEY_EVENT_REMOVE)) < 0 || (r = transition_commit(&t)) < 0)
        return manager_store_failed(r, reterr_detail);
    if (!k->hostnqn) {
        r = withdraw_broken(m, k);
    } else {
        r = manager_settle_pair(m, k, NULL, NULL);
        key_table_remove(&m->keys, k);
    }
    manager_update_deadline(m);
    return ring_failed(r, "removed", reterr_detail);
}

int manager_plan(Manager *m, const char *id, KeyStep step, uint64_t at_usec, bool from_now,
                 char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    Key *k;
    int r = manager_find(m, id, &k, reterr_detail);

    if (r == 0 && step == KEY_STEP_NONE && k->step == KEY_STEP_NONE && !k->follow)
        return detail_set(reterr_detail, -EBUSY, "nothing is planned for key %s", id);
    if (r == 0)
        r = manager_check_life(k, step == KEY_STEP_NONE ? KEY_EVENT_REMOVE : key_life_event(step),
                               reterr_detail);
    /* Its metadata cannot be written. */
    if (r == 0 && k->state == KEY_BROKEN)
        return detail_set(reterr_detail, -EBUSY, "the record of key %s is broken", id);
    /* Only a pending key follows its targets. */
    if (r == 0 && step == KEY_STEP_ACTIVATE && k->role & KEY_ROLE_HOST && k->state != KEY_PENDING)
        return detail_set(reterr_detail, -EBUSY,
                          "key %s is %s, and a host goes back to such a key only at once", id,
                          key_state_to_string(k->state));
    if (r < 0)
        return r;
    r = transition_take(&t, k);
    if (r == 0) {
        k->follow = false;
        if (from_now)
            transition_plan_span(&t, k, step, at_usec);
        else
            transition_plan(&t, k, step, at_usec);
        r = transition_commit(&t);
    }
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    (void)!manager_settle(m, k, NULL, NULL);
    return 0;
}
