/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyd/manager.h"
#include "psk/nqn.h"

struct Manager {
    Config config;
    const char *state_dir;
    Store *store;
    int store_error; /* why the last, slow, try to open it failed, or 0 */
    char *store_detail;
    uint64_t store_tried_usec; /* CLOCK_MONOTONIC, when */
    Ring *ring;
    KeyTable keys;
    uint64_t deadline_usec; /* the earliest of the retiring keys', 0 for none */
};

int manager_new(const Config *config, const char *state_dir, Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));

    if (!m || key_table_init(&m->keys) < 0)
        return -ENOMEM;
    m->config = *config;
    m->state_dir = state_dir;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    key_table_done(&m->keys);
    store_close(m->store);
    ring_close(m->ring);
    free(m->store_detail);
    free(m);
    return NULL;
}

void manager_set_config(Manager *m, const Config *config)
{
    if (config->stand_in != m->config.stand_in)
        m->ring = ring_close(m->ring);
    m->config = *config;
}

const Config *manager_config(const Manager *m)
{
    return &m->config;
}

const Store *manager_store(const Manager *m)
{
    return m->store;
}

const char *manager_store_detail(const Manager *m)
{
    return m->store_detail;
}

const KeyTable *manager_keys(const Manager *m)
{
    return &m->keys;
}

/* The ring is gone, and with it all that was in it. */
static void forget_serials(Manager *m)
{
    Key *k;

    KEY_TABLE_FOREACH(&m->keys, k)
    {
        memset(k->serials, 0, sizeof(k->serials));
    }
}

const Ring *manager_ring(Manager *m, int *ret_error)
{
    int r = m->ring ? 0 : ring_open(m->config.stand_in, &m->ring);

    *ret_error = r;
    return m->ring;
}

static void update_deadline(Manager *m)
{
    Key *k;

    m->deadline_usec = 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (k->state == KEY_RETIRING && k->deadline_usec > 0 &&
            (m->deadline_usec == 0 || k->deadline_usec < m->deadline_usec))
            m->deadline_usec = k->deadline_usec;
    }
}

static int load_record(const StoreRecord *record, void *userdata)
{
    Manager *m = userdata;
    _cleanup_(key_freep) Key *k = NULL;
    int r = record->error;

    if (r == 0)
        r = key_from_meta(record->meta, &k);
    if (r == -ENOMEM)
        return r;
    if (!k) {
        /* It cannot be used, but people must see that it is there. */
        k = calloc(1, sizeof(*k));
        if (!k)
            return -ENOMEM;
        k->state = KEY_BROKEN;
        k->error = r;
    }
    memcpy(k->id, record->id, sizeof(k->id));
    k->generation = record->generation;
    r = key_table_insert(&m->keys, k);
    if (r == 0)
        k = NULL;
    return r;
}

/* After a try to open the store that failed and took its time, waiting for a TPM perhaps, there is
 * none for a while: whoever asks must not make the others wait again and again. */
#define REOPEN_USEC (10 * USEC_PER_SEC)
#define REOPEN_SLOW_USEC USEC_PER_SEC

static int open_store(Manager *m)
{
    uint64_t start = now_monotonic();
    int r;

    if (m->store)
        return 0;
    if (m->store_error < 0 && start - m->store_tried_usec < REOPEN_USEC)
        return m->store_error;
    m->store_error = 0;
    free(TAKE_PTR(m->store_detail));
    r = store_open(m->state_dir, &m->store, &m->store_detail);
    if (r == -ENOENT) {
        free(TAKE_PTR(m->store_detail));
        return 0;
    }
    if (r == 0)
        r = store_for_each(m->store, load_record, m);
    update_deadline(m);
    if (r < 0 && m->store)
        manager_close(m);
    m->store_tried_usec = now_monotonic();
    if (m->store_tried_usec - start > REOPEN_SLOW_USEC)
        m->store_error = r;
    return r;
}

void manager_close(Manager *m)
{
    key_table_done(&m->keys);
    m->store = store_close(m->store);
    /* Two empty tables; if even those do not fit, nothing else will. */
    if (key_table_init(&m->keys) < 0)
        abort();
}

static int fail(char **reterr_detail, int error, const char *format, ...) _printf_(3, 4);
static int fail(char **reterr_detail, int error, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (vasprintf(reterr_detail, format, ap) < 0)
        *reterr_detail = NULL;
    va_end(ap);
    return error;
}

/* What a store says is not what a Manager says by the same errno: -ENOENT is no missing key. */
static int store_error(int r)
{
    return r < 0 && r != -ENOMEM ? -EIO : r;
}

static int need_open(Manager *m, char **reterr_detail)
{
    int r = manager_open(m);

    if (r < 0)
        return fail(reterr_detail, store_error(r), "%s",
                    m->store_detail ? m->store_detail : strerror(-r));
    return 0;
}

/* The store for a change: opened, or made at the first one. */
static int need_store(Manager *m, char **reterr_detail)
{
    int r = need_open(m, reterr_detail);

    if (r < 0 || m->store)
        return r;
    return store_error(store_create(m->state_dir, &m->store, reterr_detail));
}

static int read_hostnqn(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail)
{
    /* One byte more than an NQN may have, so that one that is too long is called that. */
    int r = io_read_line(NAMES_HOSTNQN_FILE, ret, NQN_LENGTH_MAX + 2);

    if (r < 0)
        return fail(reterr_detail, -ENODATA,
                    "no host NQN given, and none in " NAMES_HOSTNQN_FILE " (%s)", strerror(-r));
    return 0;
}

/* The rules between keys: no second one for a pair and role, no ambiguous look-up for the kernel.
 */
static int check_neighbours(Manager *m, const Key *new, bool force, Key **ret, char **reterr_detail)
{
    Key *k;

    for (k = key_table_pair(&m->keys, new->hostnqn, strlen(new->hostnqn), new->subsysnqn,
                            strlen(new->subsysnqn));
         k; k = k->next_of_pair)
        if (k->state == KEY_ACTIVE || k->state == KEY_PENDING) {
            *ret = k;
            return fail(reterr_detail, -EEXIST,
                        "key %s is already %s for this host and subsystem NQN: %s", k->id,
                        key_state_to_string(k->state),
                        k->role & new->role ? "rotate or remove it"
                                            : "have one key of role both in its place");
        }
    if (force)
        return 0;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (!k->hostnqn || k->state == KEY_REVOKED || !(key_shadows(k, new) || key_shadows(new, k)))
            continue;
        *ret = k;
        return fail(reterr_detail, -ENOTUNIQ,
                    "the kernel could take this key for that of %s (%s), because one subsystem NQN "
                    "begins with the other: rename it, or force it and connect with --tls-key",
                    k->subsysnqn, k->id);
    }
    return 0;
}

static int new_key(const KeyRequest *q, const char *hostnqn, Key **ret)
{
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));

    if (!k)
        return -ENOMEM;
    k->hostnqn = strdup(hostnqn);
    k->subsysnqn = strdup(q->subsysnqn);
    k->comment = q->comment ? strdup(q->comment) : NULL;
    if (!k->hostnqn || !k->subsysnqn || (q->comment && !k->comment))
        return -ENOMEM;
    k->role = q->role;
    k->state = KEY_ACTIVE;
    k->hash = q->hash;
    k->derivation = q->derivation;
    /* A host should offer one identity, the better one; a target does not know what hosts offer. */
    k->versions = q->versions                ? q->versions
                  : q->role == KEY_ROLE_HOST ? KEY_VERSION_BIT(1)
                                             : KEY_VERSION_BIT(0) | KEY_VERSION_BIT(1);
    k->created_usec = k->changed_usec = now_realtime();
    *ret = TAKE_PTR(k);
    return 0;
}

/* Fills in what depends on the PSK, which is made here unless one was given. */
static int derive(Key *k, const Secret *configured, Secret **ret_payload, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *made = NULL;
    int r;

    if (!configured) {
        r = psk_generate(k->hash, &made);
        if (r < 0)
            return fail(reterr_detail, r, "cannot make a random PSK: %s", strerror(-r));
    }
    r = key_derive(k, made ? made : configured, ret_payload);
    if (r != 0)
        return fail(reterr_detail, r > 0 ? -EINVAL : r, "%s", psk_error_text(r));
    return 0;
}

static int seal_new(StoreTransaction *t, Key *k, const Secret *payload)
{
    _cleanup_(json_putp) json_object *meta = NULL;
    int r = key_to_meta(k, &meta);

    return r < 0 ? r : store_add(t, meta, payload, k->id);
}

/* Makes the ring right, opening it if need be. */
static int resync(Manager *m, SyncResult *ret)
{
    int r = 0;

    for (int attempt = 0; attempt < 2; attempt++) {
        const Ring *ring = manager_ring(m, &r);

        if (!ring)
            return r;
        *ret = (SyncResult){0};
        r = sync_all(ring, m->store, &m->keys, ret);
        if (r == 0)
            r = ret->error;
        /* nvme_keyring was unloaded; a new one may be there by now. */
        if (r != -EKEYREVOKED && r != -ENOKEY)
            break;
        m->ring = ring_close(m->ring);
        forget_serials(m);
    }
    return r;
}

/* The versions whose identity is this key's: while a target accepts two keys of a pair, their
 * version 0 identity is the active one's. */
static unsigned own_versions(const Manager *m, const Key *k)
{
    unsigned versions = k->versions;
    const Key *other;

    if (k->state == KEY_ACTIVE)
        return versions;
    for (other = key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                strlen(k->subsysnqn));
         other; other = other->next_of_pair)
        if (other->state == KEY_ACTIVE && k->identities[0] && other->identities[0] &&
            strcmp(other->identities[0], k->identities[0]) == 0)
            versions &= ~KEY_VERSION_BIT(0);
    return versions;
}

int manager_open(Manager *m)
{
    bool was_open = m->store;
    int r = open_store(m);

    /* What could not be published at start is published now; if that fails, manager_sync() tells.
     */
    if (r == 0 && m->store && !was_open) {
        SyncResult result;

        if (resync(m, &result) == -ENOMEM)
            return -ENOMEM;
    }
    return r;
}

/* Publishes one key. When the ring turns out to be gone, the new one gets all keys. */
static int publish(Manager *m, Key *k)
{
    const Ring *ring;
    SyncResult result;
    int r;

    ring = manager_ring(m, &r);
    if (!ring)
        return r;
    r = sync_publish(ring, m->store, k, own_versions(m, k));
    return r == -EKEYREVOKED || r == -ENOKEY ? resync(m, &result) : r;
}

static int store_failed(int error, char **reterr_detail)
{
    return fail(reterr_detail, store_error(error), "cannot write the store: %s", strerror(-error));
}

int manager_add(Manager *m, const KeyRequest *request, Key **ret, char **reterr_detail)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    char own_hostnqn[NQN_LENGTH_MAX + 2];
    const char *hostnqn = request->hostnqn;
    int r;

    if (!hostnqn) {
        r = read_hostnqn(own_hostnqn, reterr_detail);
        if (r < 0)
            return r;
        hostnqn = own_hostnqn;
    }
    if ((r = nqn_check_text(hostnqn, "host NQN", reterr_detail)) < 0 ||
        (r = nqn_check_text(request->subsysnqn, "subsystem NQN", reterr_detail)) < 0 ||
        (r = new_key(request, hostnqn, &k)) < 0 || (r = need_store(m, reterr_detail)) < 0 ||
        (r = check_neighbours(m, k, request->force, ret, reterr_detail)) < 0 ||
        (r = derive(k, request->configured, &payload, reterr_detail)) < 0)
        return r;

    if ((r = store_begin(m->store, &t)) < 0 || (r = seal_new(t, k, payload)) < 0 ||
        (r = store_commit(t)) < 0)
        return store_failed(r, reterr_detail);

    k->generation = store_find(m->store, k->id)->generation;
    r = key_table_insert(&m->keys, k);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(k);
    /* It is kept; whether it is in the ring is told by its serials. */
    (void)publish(m, *ret);
    return 0;
}

/* Whether a retiring key still stands in for one that could not be published yet. */
static bool stands_in(const Manager *m, const Key *k)
{
    const Key *o = key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                  strlen(k->subsysnqn));

    for (; o && m->ring; o = o->next_of_pair)
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (o->state == KEY_ACTIVE && o->identities[v] && !o->serials[v])
                return true;
    return false;
}

/* Lets go of retiring keys whose time is over: out of the ring, then out of the store. */
static int settle(Manager *m)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) Key **gone = calloc(key_table_size(&m->keys) + 1, sizeof(*gone));
    uint64_t now = now_realtime();
    size_t n = 0;
    Key *k;
    int r = 0;

    if (!gone)
        return -ENOMEM;
    KEY_TABLE_FOREACH(&m->keys, k)
    {
        if (k->state == KEY_RETIRING && k->deadline_usec > 0 && k->deadline_usec <= now &&
            !stands_in(m, k))
            gone[n++] = k;
    }
    update_deadline(m);
    if (n == 0)
        return 0;

    r = store_begin(m->store, &t);
    for (size_t i = 0; i < n && r == 0; i++) {
        r = m->ring ? sync_withdraw(m->ring, gone[i]) : 0;
        if (r == 0)
            r = store_remove(t, gone[i]->id);
    }
    if (r == 0)
        r = store_commit(t);
    for (size_t i = 0; i < n && r == 0; i++)
        key_table_remove(&m->keys, gone[i]);
    update_deadline(m);
    return r;
}

/* The old key's record as it is after the rotation. On a host its time is over at once: the kernel
 * takes any key that matches, so there must not be two. */
static int seal_retiring(Manager *m, StoreTransaction *t, Key *k)
{
    _cleanup_(json_putp) json_object *meta = NULL;
    const KeyState state = k->state;
    const uint64_t changed = k->changed_usec;
    int r;

    k->state = KEY_RETIRING;
    k->changed_usec = now_realtime();
    k->deadline_usec = k->changed_usec;
    if (k->role == KEY_ROLE_TARGET &&
        __builtin_add_overflow(k->changed_usec, m->config.retire_usec, &k->deadline_usec))
        k->deadline_usec = 0;

    r = key_to_meta(k, &meta);
    if (r == 0)
        r = store_replace(t, k->id, meta, NULL);
    if (r == 0)
        r = store_commit(t);
    if (r < 0) {
        k->state = state;
        k->changed_usec = changed;
        k->deadline_usec = 0;
    }
    return r;
}

/* An identity that another key of the pair had is the new key's now: the kernel displaced the old
 * one, or, with the stand-in's key type, updated it in place. */
static void forget_displaced(Manager *m, const Key *new)
{
    for (Key *k = key_table_pair(&m->keys, new->hostnqn, strlen(new->hostnqn), new->subsysnqn,
                                 strlen(new->subsysnqn));
         k; k = k->next_of_pair)
        for (unsigned v = 0; v < KEY_VERSIONS && k != new; v++)
            if (new->serials[v] && k->identities[v] &&
                strcmp(k->identities[v], new->identities[v]) == 0)
                k->serials[v] = 0;
}

static int no_such_key(const char *id, char **reterr_detail)
{
    return fail(reterr_detail, -ENOENT, "no key has the id \"%s\"", id);
}

int manager_rotate(Manager *m, const char *id, const KeyRequest *request, Key **ret,
                   char **reterr_detail)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    KeyRequest q = *request;
    Key *old;
    int r;

    r = need_store(m, reterr_detail);
    if (r < 0)
        return r;
    old = key_table_find(&m->keys, id);
    if (!old)
        return no_such_key(id, reterr_detail);
    if (old->state != KEY_ACTIVE)
        return fail(reterr_detail, -EBUSY, "key %s is %s, only an active one can be rotated", id,
                    key_state_to_string(old->state));
    q.hostnqn = old->hostnqn;
    q.subsysnqn = old->subsysnqn;
    q.role = old->role;
    q.versions = old->versions;
    q.derivation = old->derivation;
    if (!q.comment)
        q.comment = old->comment;
    if ((r = new_key(&q, q.hostnqn, &k)) < 0 ||
        (r = derive(k, q.configured, &payload, reterr_detail)) < 0)
        return r;
    if (strcmp(k->digest, old->digest) == 0)
        return fail(reterr_detail, -EINVAL, "the new PSK is the one that key %s has already", id);

    /* One commit for both: there is never none and never two. */
    if ((r = store_begin(m->store, &t)) < 0 || (r = seal_new(t, k, payload)) < 0 ||
        (r = seal_retiring(m, t, old)) < 0)
        return store_failed(r, reterr_detail);

    k->generation = store_find(m->store, k->id)->generation;
    r = key_table_insert(&m->keys, k);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(k);
    t = store_end(t);
    update_deadline(m);
    /* The old key stays in the ring until the new one is there; manager_sync() tries again. */
    r = publish(m, *ret);
    forget_displaced(m, *ret);
    if (r == 0 || !m->ring)
        (void)settle(m);
    return 0;
}

/* A key that goes leaves the version 0 identity to a retiring one of its pair, before it is gone.
 */
static void make_way(Manager *m, Key *gone)
{
    gone->state = KEY_REVOKED;
    for (Key *k = key_table_pair(&m->keys, gone->hostnqn, strlen(gone->hostnqn), gone->subsysnqn,
                                 strlen(gone->subsysnqn));
         k; k = k->next_of_pair)
        if (k != gone && key_is_publishable(k, now_realtime()) && publish(m, k) == 0)
            forget_displaced(m, k);
}

int manager_remove(Manager *m, const char *id, char **reterr_detail)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    SyncResult result;
    bool broken;
    Key *k;
    int r;

    r = need_open(m, reterr_detail);
    if (r < 0)
        return r;
    k = key_table_find(&m->keys, id);
    if (!k)
        return no_such_key(id, reterr_detail);

    if ((r = store_begin(m->store, &t)) < 0 || (r = store_remove(t, id)) < 0 ||
        (r = store_commit(t)) < 0)
        return store_failed(r, reterr_detail);
    if (manager_ring(m, &r)) {
        if (k->hostnqn)
            make_way(m, k);
        r = sync_withdraw(m->ring, k);
    }
    broken = !k->hostnqn;
    key_table_remove(&m->keys, k);
    update_deadline(m);
    /* Only the whole ring tells what a record that cannot be read had there. */
    if (broken && m->ring)
        r = resync(m, &result);
    if (r < 0 && r != -ENOKEY && r != -EKEYREVOKED)
        return fail(reterr_detail, r, "removed, but still in the keyring: %s", strerror(-r));
    return 0;
}

int manager_sync(Manager *m, SyncResult *ret)
{
    int r = open_store(m), settled;

    if (r < 0)
        return r;
    r = resync(m, ret);
    /* What could not be published may be what a retiring key still stands in for; without a ring
     * there is nothing to stand in. */
    if (!m->store || (r < 0 && m->ring))
        return r;
    settled = settle(m);
    return r < 0 ? r : settled;
}

size_t manager_publish_pair(Manager *m, const Key *first)
{
    uint64_t now = now_realtime();
    size_t n = 0;

    for (Key *k = (Key *)(uintptr_t)first; k; k = k->next_of_pair)
        if (key_is_publishable(k, now) && publish(m, k) == 0)
            n++;
    return n;
}

int manager_unseal(Manager *m, const Key *k, Secret **ret_payload)
{
    return store_unseal(m->store, k->id, ret_payload);
}

const Ring *manager_refresh(Manager *m)
{
    int r;

    /* Where nvme_keyring was reloaded, the second ring is the new one. */
    for (int attempt = 0; attempt < 2; attempt++) {
        const Ring *ring = manager_ring(m, &r);

        if (ring && sync_refresh(ring, &m->keys) == 0)
            return ring;
        m->ring = ring_close(m->ring);
    }
    forget_serials(m);
    return NULL;
}

uint64_t manager_deadline(const Manager *m)
{
    return m->deadline_usec;
}
