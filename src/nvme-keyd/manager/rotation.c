/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/manager/transition.h"

/*
 * A rotation. A target accepts the new key beside the old one from the beginning. A host offers one
 * key, so its successor is pending until the target is known to have it:
 *
 *    target   rotate     new active, old retiring
 *             deadline   old removed
 *
 *    host     rotate     new pending
 *             activate   new active, old retiring
 *             deadline   old removed, once the new one has worked
 *
 * The old key of a host is not in the ring, but sealed: manager_revert() activates it again.
 */

int manager_check_life(const Key *k, KeyEvent event, char **reterr_detail)
{
    KeyState next;
    const char *why = key_life_next(k->state, event, k->role, &next);

    return why ? detail_set(reterr_detail, -EBUSY, "key %s is %s: %s", k->id,
                            key_state_to_string(k->state), why)
               : 0;
}

int manager_settle(Manager *m, const Key *of, const Key *new, const Secret *payload)
{
    int r;

    manager_update_deadline(m);
    /* What could not be added stays due; manager_sync() tries again. */
    r = manager_settle_pair(m, of, new, payload);
    if (r == 0 || !publisher_ring_serial(m->publisher))
        (void)manager_take_steps(m);
    return r;
}

/* True if both keys are known to have another hash, and so other identities. The digest of a new
 * key, which shows it too, is not known yet. */
static bool have_other_hash(const Key *old, const Key *new)
{
    return old->hash != PSK_HASH_NONE && new->hash != PSK_HASH_NONE && old->hash != new->hash;
}

/* True if both keys are published under one identity, but as different PSKs. */
static bool is_cutover(const Key *old, const Key *new)
{
    bool same_bytes = new->digest[0] && strcmp(old->digest, new->digest) == 0 &&
                      old->derivation == new->derivation;

    for (unsigned v = 0; v < KEY_VERSIONS && !same_bytes; v++)
        if (old->versions & new->versions & KEY_VERSION_BIT(v) &&
            (old->identities[v] && new->identities[v]
                 ? strcmp(old->identities[v], new->identities[v]) == 0
                 : v == 0 && !have_other_hash(old, new)))
            return true;
    return false;
}

/* An identity of version 0 does not say which PSK it is of, so a target has one of them. */
int manager_check_cutover(const Rotation *q, const Key *old, const Key *new, char **ret_warning,
                          char **reterr_detail)
{
    bool is_target = old->role == KEY_ROLE_TARGET;

    if (!is_cutover(old, new))
        return 0;
    if (is_target && old->versions == KEY_VERSION_BIT(0) && q->at_usec == 0 && !q->scheduled &&
        !q->key.force)
        return detail_set(
            reterr_detail, -EBUSY,
            "key %s has identity version 0 only, under which a target accepts one PSK "
            "at a time: its hosts are refused until they have the new one. Have both "
            "ends change at one time (--at=), or force it",
            old->id);
    (void)detail_set(ret_warning, 0,
                     is_target
                         ? "hosts that use identity version 0 are refused from the change on until "
                           "they have the new PSK, because a target accepts one PSK under it"
                         : "under identity version 0 a target accepts one PSK at a time, so change "
                           "both ends together");
    return 0;
}

/* Other keys of the pair that would stand in the way of the successor. */
static int check_others(Manager *m, const Key *old, const Key *new, char **reterr_detail)
{
    const Key *k;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, old, k)
    {
        if (k == old || key_is_handed_in(k))
            continue;
        if (k->state == KEY_PENDING && (strcmp(k->succeeds, old->id) == 0 || key_collides(k, new)))
            return detail_set(reterr_detail, -EEXIST,
                              "key %s is pending already: activate or remove it first", k->id);
        if (k->state == KEY_ACTIVE && key_collides(k, new))
            return detail_set(reterr_detail, -EEXIST,
                              "key %s for this host and subsystem NQN is such a key already",
                              k->id);
    }
    return 0;
}

/* The configured PSK of a key, to derive from it again. */
static int unseal_configured(const Key *k, Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    int r = key_unseal(k, &payload);

    if (r == 0)
        r = key_payload_configured(payload, &bytes, &size);
    if (r == -ENOENT)
        return detail_set(
            reterr_detail, -EINVAL,
            "the configured PSK of key %s is not known, only one that was derived from "
            "it: give the PSK itself",
            k->id);
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    *ret = secret_new_copy(bytes, size);
    return *ret ? 0 : -ENOMEM;
}

/* The names and, where the request has no others, the members of the old key. */
static KeyRequest describe_successor(const Rotation *q, const Key *old)
{
    KeyRequest k = q->key;

    k.hostnqn = old->hostnqn;
    k.subsysnqn = old->subsysnqn;
    k.role = old->role;
    k.versions = k.versions ? k.versions : old->versions;
    k.hash = q->has_hash ? k.hash : old->hash;
    k.derivation = q->has_derivation ? k.derivation : old->derivation;
    k.comment = k.comment ? k.comment : old->comment;
    k.rotate_usec = old->rotate_usec;
    if (k.lifetime_usec == 0 && old->expires_usec > old->created_usec)
        k.lifetime_usec = old->expires_usec - old->created_usec;
    return k;
}

static int fill_successor(const Rotation *q, const KeyRequest *with, const Key *old, Key *k,
                          Secret **ret_payload, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *same = NULL;
    int r = q->same_psk ? unseal_configured(old, &same, reterr_detail) : 0;

    if (r < 0)
        return r;
    if (same && k->hash != PSK_HASH_NONE && same->size != psk_hash_size(k->hash))
        return detail_set(reterr_detail, -EINVAL, "a PSK of %zu bytes cannot have the hash %s",
                          same->size, psk_hash_to_string(k->hash));
    r = key_fill(k, same ? same : with->configured, ret_payload, reterr_detail);
    if (r < 0)
        return r;
    if (strcmp(k->digest, old->digest) == 0 && k->versions == old->versions &&
        k->derivation == old->derivation)
        return detail_set(reterr_detail, -EINVAL, "the new PSK is the one that key %s has already",
                          old->id);
    return 0;
}

/* Commits the successor, and in the same commit the end of the old key if it is active at once. */
static int commit_rotation(Manager *m, const Rotation *q, Key *old, Key **k, const Secret *payload,
                           char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m, .now_usec = (*k)->created_usec};
    bool at_once = !q->scheduled && q->at_usec == 0 &&
                   (q->at_once || key_life_successor(old->role) == KEY_ACTIVE);
    int r;

    memcpy((*k)->succeeds, old->id, sizeof((*k)->succeeds));
    (*k)->state = at_once ? KEY_ACTIVE : KEY_PENDING;
    (*k)->follow = q->scheduled && (old->role & KEY_ROLE_HOST);
    if (q->at_usec > 0 && q->from_now)
        transition_plan_span(&t, *k, KEY_STEP_ACTIVATE, q->at_usec);
    else if (q->at_usec > 0)
        transition_plan(&t, *k, KEY_STEP_ACTIVATE, q->at_usec);
    r = transition_add(&t, k, payload);
    if (r == 0 && at_once)
        r = transition_apply(&t, old, KEY_EVENT_DISPLACE);
    if (r == 0)
        r = transition_commit(&t);
    return r < 0 ? manager_store_failed(r, reterr_detail) : 0;
}

int manager_rotate(Manager *m, const char *id, const Rotation *request, Key **ret,
                   char **ret_warning, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    Key *old, *new;
    KeyRequest q;
    int r;

    if ((r = manager_find(m, id, &old, reterr_detail)) < 0 ||
        (r = manager_check_life(old, KEY_EVENT_ROTATE, reterr_detail)) < 0)
        return r;
    if (request->scheduled && !manager_is_due(m, old))
        return detail_set(reterr_detail, -EBUSY, "the rotation of key %s is not due", id);
    q = describe_successor(request, old);
    if ((r = key_new(&q, q.hostnqn, &k)) < 0 || (r = check_others(m, old, k, reterr_detail)) < 0 ||
        (r = manager_check_cutover(request, old, k, ret_warning, reterr_detail)) < 0)
        return r;
    if (q.dry_run) {
        *ret = old;
        return 0;
    }
    /* Its identities are known by now. */
    if ((r = fill_successor(request, &q, old, k, &payload, reterr_detail)) < 0 ||
        (r = check_others(m, old, k, reterr_detail)) < 0 ||
        (r = manager_check_revoked(m, k, payload, reterr_detail)) < 0)
        return r;

    new = k;
    r = commit_rotation(m, request, old, &k, payload, reterr_detail);
    if (r < 0)
        return r;
    *ret = new;
    /* The old key stays in the ring until the new one is there. */
    (void)!manager_settle(m, new, new, payload);
    return 0;
}

/* True if k replaced o, or a key that had replaced o, and so on. */
static bool has_replaced(const Manager *m, const Key *k, const Key *o)
{
    while (k && k->succeeds[0] && strcmp(k->succeeds, o->id) != 0)
        k = key_table_find(&m->keys, k->succeeds);
    return k && k->succeeds[0];
}

bool manager_share_place(const Manager *m, const Key *a, const Key *b)
{
    return key_collides(a, b) || has_replaced(m, a, b) || has_replaced(m, b, a);
}

int manager_switch(Transition *t, Key *k)
{
    int r = transition_apply(t, k, KEY_EVENT_ACTIVATE);
    Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(&t->m->keys, k, o)
    {
        if (r == 0 && o != k && !key_is_handed_in(o) && o->state == KEY_ACTIVE &&
            manager_share_place(t->m, o, k))
            r = transition_apply(t, o, KEY_EVENT_DISPLACE);
    }
    return r;
}

static int activate(Manager *m, Key *k, bool proved, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    int r = manager_check_life(k, KEY_EVENT_ACTIVATE, reterr_detail);

    if (r < 0)
        return r;
    r = manager_switch(&t, k);
    if (r == 0 && proved)
        k->confirmed_usec = t.now_usec;
    if (r < 0 || (r = transition_commit(&t)) < 0)
        return manager_store_failed(r, reterr_detail);
    (void)!manager_settle(m, k, NULL, NULL);
    return 0;
}

int manager_activate(Manager *m, const char *id, bool proved, char **reterr_detail)
{
    Key *k;
    int r = manager_find(m, id, &k, reterr_detail);

    return r < 0 ? r : activate(m, k, proved, reterr_detail);
}

/* The retiring key that k replaced: the one that it names, or else the last one of its pair. */
static Key *find_predecessor(Manager *m, const Key *k)
{
    Key *o, *last = NULL;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, o)
    {
        if (o == k || o->state != KEY_RETIRING || !manager_share_place(m, o, k))
            continue;
        if (strcmp(o->id, k->succeeds) == 0)
            return o;
        if (!last || o->changed_usec > last->changed_usec)
            last = o;
    }
    return last;
}

int manager_find_reverted(Manager *m, const char *id, Key **ret, char **reterr_detail)
{
    Key *k;
    int r = manager_find(m, id, &k, reterr_detail);

    if (r < 0)
        return r;
    if (k->state == KEY_ACTIVE) {
        k = find_predecessor(m, k);
        if (!k)
            return detail_set(reterr_detail, -EBUSY, "no key that key %s has replaced is left", id);
    }
    if (k->state != KEY_RETIRING)
        return detail_set(reterr_detail, -EBUSY,
                          "key %s is %s: give the active key, or the retiring one to go back to",
                          id, key_state_to_string(k->state));
    *ret = k;
    return 0;
}

int manager_confirm(Manager *m, Key *k)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    int r;

    if (k->confirmed_usec > 0)
        return 0;
    r = transition_take(&t, k);
    if (r < 0)
        return r;
    k->confirmed_usec = t.now_usec;
    r = transition_commit(&t);
    if (r == 0)
        manager_update_deadline(m);
    return r;
}

int manager_set_following(Manager *m, Key *k, bool follow)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    int r;

    if (k->follow == follow)
        return 0;
    r = transition_take(&t, k);
    if (r < 0)
        return r;
    k->follow = follow;
    if (follow && k->step == KEY_STEP_ACTIVATE)
        transition_plan(&t, k, KEY_STEP_NONE, 0);
    r = transition_commit(&t);
    if (r == 0)
        manager_update_deadline(m);
    return r;
}
