/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/manager-private.h"

/*
 * Adding, rotating and removing keys: each change is sealed in the store first and then made in the
 * ring, because only the ring can be rebuilt from the other.
 *
 * A rotation, manager_rotate():
 *    1. key_new(), key_fill()    make a key with the names and options of the old one
 *    2. commit_new()             in one commit: the new key is active; the record of the old one is
 *                                retiring until RetireSec= has passed on a target, gone on a host
 *    3. publisher_publish_new()  adds the new key to the ring; in version 0, where both have one
 *                                identity, this displaces the old key
 *    4. manager_retire_due()     withdraws and removes keys past their deadline
 * A failure in 1 or 2 leaves everything as it was. After a failure in 3 the old key stays in ring
 * and table, even without a record, and manager_sync() tries again. Without a ring 4 follows at
 * once.
 */

int manager_stage(Manager *m, StoreTransaction *t, Key *k, const Secret *payload)
{
    _cleanup_(freep) char *meta = key_to_meta(k);
    int r = meta ? store_add(t, meta, payload, k->id) : -ENOMEM;

    if (r < 0)
        return r;
    k->source = &m->records;
    return key_table_insert(&m->keys, k);
}

int manager_store_failed(int error, char **reterr_detail)
{
    return detail_set(reterr_detail, error == -ENOMEM ? error : -EIO, "cannot write the store: %s",
                      strerror(-error));
}

/* An identity of the pair that belonged to another key belongs to the new key now: the kernel
 * displaced the old key or, with the key type of the stand-in, updated it in place. */
static void forget_displaced(Manager *m, const Key *new)
{
    Key *k;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, new, k)
    for (unsigned v = 0; v < KEY_VERSIONS && k != new; v++)
        if (new->serials[v] && k->identities[v] &&
            strcmp(k->identities[v], new->identities[v]) == 0)
            k->serials[v] = 0;
}

/* Publishes a new key of the store. A handed-in key that it overrides is withdrawn once the new one
 * is there. */
static void publish_added(Manager *m, Key *new, const Secret *payload)
{
    Key *first = key_table_pair(&m->keys, new->hostnqn, strlen(new->hostnqn), new->subsysnqn,
                                strlen(new->subsysnqn)),
        *replaced = NULL;
    int r;

    for (Key *k = first; k; k = k->next_of_pair)
        if (key_is_handed_in(k) && key_collides(k, new))
            replaced = k;
    manager_update_overrides_of(m, new->hostnqn, new->subsysnqn);
    r = publisher_publish_new(m->publisher, new, payload, replaced);
    forget_displaced(m, new);
    for (Key *k = first; k && publisher_ring_serial(m->publisher) && r == 0; k = k->next_of_pair)
        if (k->state == KEY_OVERRIDDEN)
            (void)publisher_withdraw(m->publisher, k);
    publisher_release_held(m->publisher);
}

/* Makes a key for a request if the other keys leave room for it. Returns -EEXIST or -ENOTUNIQ and
 * the key in the way, or an error of key_prepare() or vault_require_writable(). */
static int prepare(Manager *m, const KeyRequest *q, Key **ret, Key **ret_other,
                   char **reterr_detail)
{
    const KeyCheck check = {q->force, publisher_kernel_is_exact()};
    _cleanup_(key_freep) Key *k = NULL;
    int r;

    if ((r = key_prepare(q, &k, reterr_detail)) < 0 ||
        (r = vault_require_writable(m->vault, reterr_detail)) < 0 ||
        (r = key_check_neighbours(&m->keys, k, &check, ret_other, reterr_detail)) < 0)
        return r;
    *ret = TAKE_PTR(k);
    return 0;
}

/* Commits the end of the rotated key's time. On a host it has come: the kernel takes any key that
 * matches, so there must not be two, and the key never returns to the ring, so its record is not
 * needed. */
static int commit_retiring(Manager *m, StoreTransaction *t, Key *k)
{
    _cleanup_(freep) char *meta = NULL;
    const KeyState state = k->state;
    const uint64_t changed = k->changed_usec;
    int r;

    k->state = KEY_RETIRING;
    k->changed_usec = now_realtime();
    k->planned_usec = k->changed_usec;
    k->deadline_usec = k->changed_usec;
    k->step = KEY_STEP_REMOVE;
    if (k->role != KEY_ROLE_TARGET) {
        r = store_remove(t, k->id);
    } else {
        if (__builtin_add_overflow(k->changed_usec, m->config.retire_usec, &k->deadline_usec))
            k->deadline_usec = 0;
        k->step = k->deadline_usec > 0 ? KEY_STEP_REMOVE : KEY_STEP_NONE;
        meta = key_to_meta(k);
        r = meta ? store_replace(t, k->id, meta, NULL) : -ENOMEM;
    }
    if (r == 0)
        r = store_commit(t);
    if (r < 0) {
        k->state = state;
        k->changed_usec = changed;
        k->deadline_usec = 0;
        k->step = KEY_STEP_NONE;
    }
    return r;
}

/* Commits the record of *k, replacing old unless it is NULL. Takes *k over. The key enters the
 * table before the commit, so that nothing after the commit can fail. */
static int commit_new(Manager *m, Key **k, const Secret *payload, Key *old, Key **ret)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    const StoreRecord *record;
    Key *new = *k;
    int r;

    if ((r = store_begin(vault_store(m->vault), &t)) < 0 ||
        (r = manager_stage(m, t, new, payload)) < 0)
        return r;
    *k = NULL;
    r = old ? commit_retiring(m, t, old) : store_commit(t);
    if (r < 0) {
        key_table_remove(&m->keys, new);
        return r;
    }
    new->generation = store_find(vault_store(m->vault), new->id)->generation;
    if (old && (record = store_find(vault_store(m->vault), old->id)))
        old->generation = record->generation;
    *ret = new;
    return 0;
}

int manager_add(Manager *m, const KeyRequest *request, Key **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    int r;

    r = prepare(m, request, &k, ret, reterr_detail);
    if (r < 0 || request->dry_run)
        return r;
    /* The store comes last, so that none is made for a key that is refused. */
    if ((r = key_fill(k, request->configured, &payload, reterr_detail)) < 0 ||
        (r = vault_require_store(m->vault, reterr_detail)) < 0)
        return r;

    r = commit_new(m, &k, payload, NULL, ret);
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    /* The key is stored even if publishing fails; its serials show whether it is in the ring. */
    publish_added(m, *ret, payload);
    return 0;
}

static int no_such_key(const char *id, char **reterr_detail)
{
    return detail_set(reterr_detail, -ENOENT, "no key has the id \"%s\"", id);
}

/* Handed-in keys are refused before the store is opened, because they can only be changed at their
 * source. */
static int check_origin(const Manager *m, const char *id, char **reterr_detail)
{
    const Key *k = key_table_find(&m->keys, id);

    if (!k || !key_is_handed_in(k))
        return 0;
    return detail_set(reterr_detail, -EBUSY,
                      "key %s is a handed-in key: change its credential %s at its source", id,
                      k->handed_by);
}

int manager_rotate(Manager *m, const char *id, const KeyRequest *request, Key **ret,
                   char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    KeyRequest q = *request;
    Key *old;
    int r;

    if ((r = check_origin(m, id, reterr_detail)) < 0 ||
        (r = vault_require_writable(m->vault, reterr_detail)) < 0)
        return r;
    old = key_table_find(&m->keys, id);
    if (!old)
        return no_such_key(id, reterr_detail);
    if (old->state != KEY_ACTIVE)
        return detail_set(reterr_detail, -EBUSY, "key %s is %s, only an active one can be rotated",
                          id, key_state_to_string(old->state));
    if (q.dry_run) {
        *ret = old;
        return 0;
    }
    q.hostnqn = old->hostnqn;
    q.subsysnqn = old->subsysnqn;
    q.role = old->role;
    q.versions = old->versions;
    q.derivation = old->derivation;
    if (!q.comment)
        q.comment = old->comment;
    if ((r = key_new(&q, q.hostnqn, &k)) < 0 ||
        (r = key_fill(k, q.configured, &payload, reterr_detail)) < 0)
        return r;
    if (strcmp(k->digest, old->digest) == 0)
        return detail_set(reterr_detail, -EINVAL, "the new PSK is the one that key %s has already",
                          id);

    /* One commit for both, so that the store always has exactly one active key. */
    r = commit_new(m, &k, payload, old, ret);
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    manager_update_deadline(m);
    /* The old key stays in the ring until the new one is there; manager_sync() tries again. */
    r = publisher_publish_new(m->publisher, *ret, payload, old);
    forget_displaced(m, *ret);
    if (r == 0 || !publisher_ring_serial(m->publisher))
        (void)manager_retire_due(m);
    return 0;
}

/* Publishes the keys that a removed key makes room for, before it is gone: a handed-in key that it
 * overrode, and the version 0 identity of a retiring key of its pair. */
static void release_pair(Manager *m, Key *gone)
{
    gone->state = KEY_REVOKED;
    manager_update_overrides_of(m, gone->hostnqn, gone->subsysnqn);
    for (Key *k = key_table_pair(&m->keys, gone->hostnqn, strlen(gone->hostnqn), gone->subsysnqn,
                                 strlen(gone->subsysnqn));
         k; k = k->next_of_pair)
        if (k != gone && key_is_publishable(k, now_realtime()) &&
            publisher_publish(m->publisher, k, NULL) == 0)
            forget_displaced(m, k);
}

/* Without the key that it uses, a controller would be deleted at its next reset. */
static int check_needed(Manager *m, const Key *k, char **reterr_detail)
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
        reterr_detail, -EBUSY,
        "key %s is the only one of its pair, and controller %s would not survive its next "
        "reset without it: rotate the key, disconnect the controller, or force the removal",
        k->id, controller);
}

int manager_commit_removal(Manager *m, Key *const *keys, size_t n)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    Store *store = vault_store(m->vault);
    size_t removed = 0;
    int r = store_begin(store, &t);

    for (size_t i = 0; i < n && r == 0; i++)
        if (store_find(store, keys[i]->id)) {
            r = store_remove(t, keys[i]->id);
            removed++;
        }
    return r == 0 && removed > 0 ? store_commit(t) : r;
}

int manager_remove(Manager *m, const char *id, bool force, char **reterr_detail)
{
    ReconcileResult result;
    bool broken;
    Key *k;
    int r;

    if ((r = check_origin(m, id, reterr_detail)) < 0 ||
        (r = vault_require_open(m->vault, reterr_detail)) < 0)
        return r;
    k = key_table_find(&m->keys, id);
    if (!k)
        return no_such_key(id, reterr_detail);
    if (!force && (r = check_needed(m, k, reterr_detail)) < 0)
        return r;

    r = manager_commit_removal(m, &k, 1);
    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    events_emit(m->events, EVENT_REMOVED, k, 0, NULL);
    if (publisher_ring(m->publisher, &r)) {
        if (k->hostnqn)
            release_pair(m, k);
        r = publisher_withdraw(m->publisher, k);
    }
    broken = !k->hostnqn;
    key_table_remove(&m->keys, k);
    manager_update_deadline(m);
    /* A broken record has no names, so its key in the ring is only found by looking at all of them.
     */
    if (broken && publisher_ring_serial(m->publisher))
        r = manager_reconcile_now(m, &result);
    if (r < 0 && r != -ENOKEY && r != -EKEYREVOKED)
        return detail_set(reterr_detail, -ENOTCONN, "removed, but still in the keyring: %s",
                          ring_error_text(r));
    return 0;
}
