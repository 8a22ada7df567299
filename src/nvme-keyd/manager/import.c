/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/import.h"
#include "nvme-keyd/manager/manager-private.h"
#include "psk/limits.h"

typedef struct Staged {
    Key *key;       /* its id is its index in the import, until the store gives it one */
    bool unchanged; /* the store has it already, or an earlier key covers it */
    bool kept;      /* the manager owns the key */
} Staged;

typedef struct Import {
    const ImportRequest *request;
    Staged *keys;
    size_t n;
} Import;

static void import_done(const Import *i)
{
    for (size_t j = 0; j < i->n; j++)
        if (!i->keys[j].kept)
            key_free(i->keys[j].key);
    free(i->keys);
}

void import_fault_done(ImportFault *f)
{
    for (size_t i = 0; i < f->n; i++)
        key_free(f->keys[i]);
    free(f->keys);
    key_conflicts_done(&f->conflicts);
    *f = (ImportFault){.n = 0};
}

size_t import_index(const Key *k)
{
    return k->source ? SIZE_MAX : strtoull(k->id, NULL, 16);
}

/* Makes the key of an index, and its payload. */
static int make(const Import *i, size_t index, Key **ret, Secret **ret_payload,
                char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    const ImportKey *k = &i->request->keys[index];
    KeyRequest q = i->request->common;
    int r = psk_interchange_parse(k->psk, strlen(k->psk), &q.hash, &psk);

    if (r > 0)
        return detail_set(reterr_detail, -EINVAL, "%s", psk_error_text(r));
    if (r < 0)
        return r;
    q.hostnqn = k->hostnqn;
    q.subsysnqn = k->subsysnqn;
    q.configured = psk;
    return key_make(&q, k->identity, ret, ret_payload, reterr_detail);
}

static int make_payload(const Import *i, const Staged *s, Secret **ret)
{
    _cleanup_(key_freep) Key *again = NULL;
    _cleanup_(freep) char *detail = NULL;

    return make(i, (size_t)(s - i->keys), &again, ret, &detail);
}

static int make_keys(Import *i, ImportFault *reterr_fault, char **reterr_detail)
{
    size_t n = CONST_MIN(i->request->n, (size_t)IMPORT_KEYS_MAX);

    i->keys = calloc(n + 1, sizeof(*i->keys));
    if (!i->keys)
        return -ENOMEM;
    while (i->n < i->request->n) {
        _cleanup_(secret_freep) Secret *payload = NULL;
        Staged *s = &i->keys[i->n];
        int r;

        reterr_fault->index = i->n;
        if (i->n == n)
            return detail_set(reterr_detail, -E2BIG, "more than %d keys at once", IMPORT_KEYS_MAX);
        r = make(i, i->n, &s->key, &payload, reterr_detail);
        if (!s->key)
            return r;
        (void)snprintf(s->key->id, sizeof(s->key->id), "%016zx", i->n++);
    }
    return 0;
}

static Staged *find_staged(const Import *i, const Key *k)
{
    return &i->keys[import_index(k)];
}

static bool same_bytes(const Key *k, const Secret *have, const Secret *payload)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        const uint8_t *a, *b;
        size_t a_size, b_size;

        if (k->identities[v] && (key_payload_tls_psk(have, v, &a, &a_size) < 0 ||
                                 key_payload_tls_psk(payload, v, &b, &b_size) < 0 ||
                                 a_size != b_size || CRYPTO_memcmp(a, b, a_size) != 0))
            return false;
    }
    return true;
}

/* Returns 1 if an earlier key of the import makes s redundant, 0, or an error. */
static int is_repeated(const Import *i, const Staged *have, const Staged *s)
{
    _cleanup_(secret_freep) Secret *a = NULL, *b = NULL;
    int r;

    if (!key_covers(have->key, s->key))
        return 0;
    if ((r = make_payload(i, have, &a)) < 0 || (r = make_payload(i, s, &b)) < 0)
        return r;
    return same_bytes(s->key, a, b);
}

/* Returns 1 if a key of the store makes s redundant, 0, or an error. */
static int is_kept(const Key *have, const Import *i, const Staged *s)
{
    _cleanup_(secret_freep) Secret *a = NULL, *b = NULL;
    int r;

    if (key_is_handed_in(have) || (have->state != KEY_ACTIVE && have->state != KEY_PENDING) ||
        !key_covers(have, s->key))
        return 0;
    /* A key that cannot be unsealed is not the same. */
    if ((r = key_unseal(have, &a)) < 0)
        return r == -ENOMEM ? r : 0;
    r = make_payload(i, s, &b);
    return r < 0 ? r : same_bytes(s->key, a, b);
}

/* Keys of a pair are adjacent, in the order in which they were staged. */
static int mark_repeated(const Import *i)
{
    _cleanup_(key_order_done) KeyOrder order = {.keys = NULL};
    int r = 0;

    for (size_t j = 0; j < i->n && r == 0; j++)
        r = key_order_insert(&order, i->keys[j].key);
    key_order_sort(&order);
    for (size_t at = 0; at < i->n && r >= 0; at++) {
        Staged *s = find_staged(i, order.keys[at]);

        for (size_t j = at; j > 0 && !s->unchanged && r >= 0; j--) {
            if (!key_same_pair(order.keys[j - 1], s->key))
                break;
            r = is_repeated(i, find_staged(i, order.keys[j - 1]), s);
            s->unchanged = r > 0;
        }
    }
    return r < 0 ? r : 0;
}

/* The payload is only needed where the pair has a revoked key. */
static int check_revoked(Manager *m, const Import *i, const Staged *s, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const Key *k = s->key, *have;
    int r = 0;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, k, have)
    {
        if (r == 0 && !payload && have->state == KEY_REVOKED)
            r = make_payload(i, s, &payload);
    }
    return payload ? manager_check_revoked(m, k, payload, reterr_detail) : r;
}

/* Compares one key with those of the store that have the same PSK. */
static int check_kept(Manager *m, const Import *i, Staged *s, char **reterr_detail)
{
    const Key *k = s->key;
    int r = 0;

    for (const Key *have = key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn), k->subsysnqn,
                                          strlen(k->subsysnqn));
         have && r == 0; have = have->next_of_pair)
        r = is_kept(have, i, s);
    s->unchanged = r > 0;
    return r == 0 ? check_revoked(m, i, s, reterr_detail) : r < 0 ? r : 0;
}

static int check_all_kept(Manager *m, const Import *i, ImportFault *reterr_fault,
                          char **reterr_detail)
{
    int r = 0;

    for (size_t j = 0; j < i->n && r == 0; j++) {
        reterr_fault->index = j;
        if (!i->keys[j].unchanged)
            r = check_kept(m, i, &i->keys[j], reterr_detail);
    }
    return r;
}

/* Passes the keys of the conflicts to the caller, all of which are new or of the table. */
static int give_keys(Import *i, ImportFault *reterr_fault)
{
    reterr_fault->keys = calloc(i->n + 1, sizeof(*reterr_fault->keys));
    if (!reterr_fault->keys)
        return -ENOMEM;
    reterr_fault->n = i->n;
    for (size_t j = 0; j < i->n; j++)
        reterr_fault->keys[j] = TAKE_PTR(i->keys[j].key);
    return 0;
}

/* Sets the detail for the first conflict. The error is that of the gravest. */
static int refuse(Import *i, ImportFault *reterr_fault, char **reterr_detail)
{
    const Conflicts *c = &reterr_fault->conflicts;
    _cleanup_(freep) char *first = NULL;
    int error = key_conflict_detail(&c->items[0], &first);

    reterr_fault->index = import_index(c->items[0].key);
    for (size_t j = 0; j < c->n; j++)
        if (c->items[j].reason != CONFLICT_NAME)
            error = -EEXIST;
    if (!first || give_keys(i, reterr_fault) < 0)
        return -ENOMEM;
    if (c->n == 1)
        return detail_set(reterr_detail, error, "%s", first);
    return detail_set(reterr_detail, error, "%s; and %zu%s more conflicts", first, c->n - 1,
                      c->more ? " or" : "");
}

static int check_conflicts(Manager *m, Import *i, size_t *ret_forced, ImportFault *reterr_fault,
                           char **reterr_detail)
{
    const KeyCheck check = {i->request->common.force, publisher_kernel_is_exact(),
                            i->request->force_for, i->request->n_force_for};
    _cleanup_(key_order_done) KeyOrder new = {.keys = NULL};
    int r = 0;

    for (size_t j = 0; j < i->n && r == 0; j++)
        if (!i->keys[j].unchanged)
            r = key_order_insert(&new, i->keys[j].key);
    if (r == 0)
        r = key_conflicts_find(&new, &m->keys, &check, &reterr_fault->conflicts);
    if (r < 0)
        return r;
    *ret_forced = reterr_fault->conflicts.n_forced;
    return reterr_fault->conflicts.n > 0 ? refuse(i, reterr_fault, reterr_detail) : 0;
}

/* Adds all keys to a transaction and to the table. */
static int stage_all(Manager *m, Import *i, StoreTransaction *t)
{
    int r = 0;

    for (size_t j = 0; j < i->n && r == 0; j++) {
        _cleanup_(secret_freep) Secret *payload = NULL;
        Staged *s = &i->keys[j];

        if (s->unchanged)
            continue;
        r = make_payload(i, s, &payload);
        if (r == 0)
            r = manager_stage(m, t, s->key, payload);
        s->kept = r == 0;
    }
    return r;
}

static int commit_all(Manager *m, Import *i)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(vault_store(m->vault), &t);

    if (r == 0)
        r = stage_all(m, i, t);
    if (r == 0)
        r = store_commit(t);
    for (size_t j = 0; j < i->n; j++) {
        if (!i->keys[j].kept)
            continue;
        if (r == 0)
            i->keys[j].key->generation =
                store_find(vault_store(m->vault), i->keys[j].key->id)->generation;
        else
            key_table_remove(&m->keys, i->keys[j].key);
    }
    return r;
}

static int keep_all(Manager *m, Import *i, ImportResult *result, char **reterr_detail)
{
    unsigned on_demand_sec;
    ReconcileResult synced;
    int r = commit_all(m, i);

    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    /* The keys are kept in any case; their serials say whether they are in the ring. */
    r = manager_reconcile_now(m, &synced);
    on_demand_sec = publisher_on_demand_sec(m->publisher);
    for (size_t j = 0; j < i->n; j++)
        result->unpublished += i->keys[j].kept && key_is_missing(i->keys[j].key, on_demand_sec);
    return 0;
}

int manager_import(Manager *m, const ImportRequest *q, ImportResult *ret, ImportFault *reterr_fault,
                   char **reterr_detail)
{
    _cleanup_(import_done) Import i = {.request = q};
    bool dry_run = q->common.dry_run;
    _cleanup_(import_result_done) ImportResult result = {0};
    int r;

    result.is_unchanged = calloc(q->n + 1, sizeof(*result.is_unchanged));
    if (!result.is_unchanged)
        return -ENOMEM;
    if ((r = make_keys(&i, reterr_fault, reterr_detail)) < 0 || (r = mark_repeated(&i)) < 0 ||
        (r = dry_run ? vault_require_open(m->vault, reterr_detail)
                     : vault_require_writable(m->vault, reterr_detail)) < 0 ||
        (r = check_all_kept(m, &i, reterr_fault, reterr_detail)) < 0 ||
        (r = check_conflicts(m, &i, &result.forced, reterr_fault, reterr_detail)) < 0)
        return r;
    for (size_t j = 0; j < i.n; j++) {
        result.is_unchanged[j] = i.keys[j].unchanged;
        result.unchanged += i.keys[j].unchanged;
    }
    result.added = i.n - result.unchanged;
    /* No store is made for keys that cannot be stored. */
    if (result.added > 0 && !dry_run && (r = vault_require_store(m->vault, reterr_detail)) == 0)
        r = keep_all(m, &i, &result, reterr_detail);
    if (r < 0)
        return r;

    *ret = result;
    result.is_unchanged = NULL;
    return 0;
}
