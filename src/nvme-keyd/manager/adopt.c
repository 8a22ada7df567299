/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/adopt.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/role-evidence.h"

typedef struct Candidate {
    const RingKey *key;
    unsigned weight; /* the greatest comes first */
} Candidate;

typedef struct Adoption {
    Manager *m;
    const AdoptRequest *q;
    const Key *of; /* the key of the store whose pair is meant, or NULL */
    RingList list;
    RingOthers others;
    int32_t *unready; /* serials of keys under construction */
    size_t n_unready;
    RoleEvidence evidence;
    Transition t;
    AdoptReport report;
} Adoption;

static void adoption_done(Adoption *a)
{
    transition_done(&a->t);
    ring_list_done(&a->list);
    ring_others_done(&a->others);
    free(a->unready);
    role_evidence_done(&a->evidence);
    adopt_report_done(&a->report);
}

void adopt_report_done(const AdoptReport *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->items[i].type);
        free(r->items[i].identity);
        free(r->items[i].detail);
    }
    free(r->items);
}

const char *adopt_verdict_to_string(AdoptVerdict verdict)
{
    static const char *const words[ADOPT_VERDICTS] = {[ADOPT_ADOPTED] = "adopted",
                                                      [ADOPT_REPLACED] = "replaced",
                                                      [ADOPT_UNCHANGED] = "unchanged",
                                                      [ADOPT_REFUSED] = "refused",
                                                      [ADOPT_UNREADABLE] = "unreadable",
                                                      [ADOPT_MALFORMED] = "malformed",
                                                      [ADOPT_GENERATED] = "generated",
                                                      [ADOPT_OTHER] = "other",
                                                      [ADOPT_LEFT] = "left"};

    return words[verdict];
}

/* Another program chose the description, and a terminal obeys control characters. */
static char *printable(const char *description)
{
    char *copy = strdup(description);

    for (char *p = copy; p && *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return copy;
}

static AdoptItem *add_item(AdoptReport *r, int32_t serial, const char *description)
{
    size_t n_max = 2 * r->n_max + 16;
    AdoptItem *grown;

    if (r->n == r->n_max) {
        grown = reallocarray(r->items, n_max, sizeof(*grown));
        if (!grown)
            return NULL;
        r->items = grown;
        r->n_max = n_max;
    }
    r->items[r->n] = (AdoptItem){.serial = serial, .identity = printable(description)};
    return r->items[r->n].identity ? &r->items[r->n++] : NULL;
}

static void note_key(AdoptItem *i, const Key *k)
{
    memcpy(i->id, k->id, sizeof(i->id));
}

/* True for a description that a search for the pair finds. */
static bool is_of_pair(const char *description, const char *hostnqn, const char *subsysnqn)
{
    const char *p = strchr(description, ' ');

    p = p ? text_after(p + 1, hostnqn) : NULL;
    p = p && *p == ' ' ? text_after(p + 1, subsysnqn) : NULL;
    return p && (*p == '\0' || *p == ' ');
}

static bool is_named(const AdoptRequest *q)
{
    return q->serial != 0 || q->identity;
}

static bool is_meant(const Adoption *a, int32_t serial, const char *description)
{
    const AdoptRequest *q = a->q;

    if (q->serial != 0)
        return serial == q->serial;
    if (q->identity)
        return strcmp(description, q->identity) == 0;
    if (a->of)
        return is_of_pair(description, a->of->hostnqn, a->of->subsysnqn);
    return !q->subsysnqn || is_of_pair(description, q->hostnqn, q->subsysnqn);
}

static Key *pair_of(const Manager *m, const PskIdentity *i)
{
    return key_table_pair(&m->keys, i->hostnqn, i->hostnqn_length, i->subsysnqn,
                          i->subsysnqn_length);
}

/* The key of the table that has this serial, or NULL. */
static const Key *find_owner(const Manager *m, const RingKey *have)
{
    PskIdentity i;

    if (psk_identity_parse(have->description, strlen(have->description), &i) != 0)
        return NULL;
    for (const Key *k = pair_of(m, &i); k; k = k->next_of_pair)
        if (k->serials[i.version] == have->serial)
            return k;
    return NULL;
}

static bool is_ready(const Adoption *a, int32_t serial)
{
    for (size_t i = 0; i < a->n_unready; i++)
        if (a->unready[i] == serial)
            return false;
    return true;
}

/* True if a key of the store offers all that the new one does, with the same bytes. */
static bool is_same(const Key *have, const Key *k, const Secret *payload)
{
    _cleanup_(secret_freep) Secret *own = NULL;
    bool same = have->source && !key_is_handed_in(have) &&
                (have->state == KEY_ACTIVE || have->state == KEY_PENDING) && key_covers(have, k) &&
                key_unseal(have, &own) == 0;

    for (unsigned v = 0; v < KEY_VERSIONS && same; v++) {
        const uint8_t *a, *b;
        size_t a_size, b_size;

        same = !k->identities[v] || (key_payload_tls_psk(own, v, &a, &a_size) == 0 &&
                                     key_payload_tls_psk(payload, v, &b, &b_size) == 0 &&
                                     a_size == b_size && CRYPTO_memcmp(a, b, a_size) == 0);
    }
    return same;
}

/* Finds an active key that the new one may replace: all that collide with it are active, and of the
 * store. */
static bool can_replace(const Adoption *a, const Key *new, Key **ret)
{
    Key *k;

    *ret = NULL;
    KEY_TABLE_FOREACH_OF_PAIR(&a->m->keys, new, k)
    {
        if (key_is_handed_in(k) || !key_collides(k, new) ||
            (k->state != KEY_ACTIVE && k->state != KEY_PENDING))
            continue;
        if (k->state != KEY_ACTIVE || k->is_changing)
            return false;
        *ret = k;
    }
    return *ret;
}

static int displace_others(Adoption *a, const Key *new)
{
    Key *k;
    int r = 0;

    KEY_TABLE_FOREACH_OF_PAIR(&a->m->keys, new, k)
    {
        if (r == 0 && k != new && !key_is_handed_in(k) && k->state == KEY_ACTIVE &&
            key_collides(k, new))
            r = transition_apply(&a->t, k, KEY_EVENT_DISPLACE);
    }
    return r;
}

/* Explains which key of the store is in the way; the digests tell the PSKs apart. Returns -EEXIST.
 */
static int explain_conflict(const Key *other, const Key *new, AdoptItem *item)
{
    return detail_set(&item->detail, -EEXIST,
                      "key %s (fingerprint %.12s) is active for its host and subsystem NQN, and "
                      "this one (fingerprint %.12s) is of another PSK: --force replaces key %s, "
                      "which retires",
                      other->id, other->digest[0] ? other->digest : "unknown",
                      new->digest[0] ? new->digest : "unknown", other->id);
}

/* Checks a new key against those of the store, and against those adopted before. Returns 0 and the
 * key to be replaced, or NULL, or -ECANCELED with the verdict. */
static int check(Adoption *a, AdoptItem *item, const Key *new, const Secret *payload,
                 Key **ret_replaced)
{
    const KeyCheck options = {.force = a->q->force, .kernel_is_exact = publisher_kernel_is_exact()};
    Key *k, *other = NULL, *replaced = NULL;
    int r;

    KEY_TABLE_FOREACH_OF_PAIR(&a->m->keys, new, k)
    {
        if (!is_same(k, new, payload))
            continue;
        item->verdict = ADOPT_UNCHANGED;
        note_key(item, k);
        return -ECANCELED;
    }
    r = key_check_neighbours(&a->m->keys, new, &options, &other, &item->detail);
    if (r == -EEXIST && can_replace(a, new, &replaced))
        r = a->q->force ? 0 : explain_conflict(replaced, new, item);
    else
        replaced = NULL;
    if (r == -EEXIST && other && other->is_changing)
        r = detail_set(&item->detail, r,
                       "another key of this pair in the keyring is adopted, and only one can be");
    else if (r < 0 && other)
        note_key(item, other);
    if (r == 0)
        r = manager_check_revoked(a->m, new, payload, &item->detail);
    if (r == -EEXIST || r == -ENOTUNIQ || r == -EINVAL) {
        item->verdict = ADOPT_REFUSED;
        return -ECANCELED;
    }
    *ret_replaced = replaced;
    return r;
}

/* Takes a key into the transition. */
static int stage(Adoption *a, AdoptItem *item, Key **k, const Secret *payload)
{
    Key *replaced, *new = *k;
    int r = check(a, item, new, payload, &replaced);

    if (r < 0)
        return r == -ECANCELED ? 0 : r;
    if (replaced)
        memcpy(new->succeeds, replaced->id, sizeof(new->succeeds));
    r = transition_add(&a->t, k, payload);
    if (r == 0)
        r = displace_others(a, new);
    if (r < 0)
        return r;
    item->verdict = replaced ? ADOPT_REPLACED : ADOPT_ADOPTED;
    item->key = new;
    if (replaced)
        (void)detail_set(&item->detail, 0, "key %s retires", replaced->id);
    return 0;
}

/* The role of a key: as asked for, as that of the pair in the store, or by evidence. */
static KeyRole role_of(const Adoption *a, const PskIdentity *i)
{
    char hostnqn[NQN_LENGTH_MAX + 1], subsysnqn[NQN_LENGTH_MAX + 1];
    const Key *k;

    if (a->q->has_role)
        return a->q->role;
    for (k = pair_of(a->m, i); k; k = k->next_of_pair)
        if (!key_is_handed_in(k) && k->state == KEY_ACTIVE)
            return k->role;
    memcpy(hostnqn, i->hostnqn, i->hostnqn_length);
    hostnqn[i->hostnqn_length] = '\0';
    memcpy(subsysnqn, i->subsysnqn, i->subsysnqn_length);
    subsysnqn[i->subsysnqn_length] = '\0';
    return role_evidence_judge(&a->evidence, hostnqn, subsysnqn);
}

static int adopt_key(Adoption *a, AdoptItem *item, const RingKey *have, const Secret *tls_psk)
{
    KeyRequest q = {.configured = tls_psk, .force = a->q->force};
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    PskIdentity i;
    int r = psk_identity_parse_key(have->description, strlen(have->description), tls_psk->size, &i);

    if (r != 0) {
        item->verdict = ADOPT_MALFORMED;
        return detail_set(&item->detail, 0, "%s", psk_error_text(r));
    }
    q.role = item->role = role_of(a, &i);
    item->has_role = true;
    r = key_make(&q, have->description, &k, &payload, &item->detail);
    if (r == -EINVAL)
        item->verdict = ADOPT_MALFORMED;
    return r == -EINVAL ? 0 : r < 0 ? r : stage(a, item, &k, payload);
}

/* Returns 0 with the verdict, or an error. */
static int judge(Adoption *a, AdoptItem *item, const RingKey *have, const Key *owner)
{
    _cleanup_(secret_freep) Secret *tls_psk = NULL;
    int r;

    if (owner) {
        item->verdict = ADOPT_UNCHANGED;
        note_key(item, owner);
        return 0;
    }
    if (text_after(have->description, "NVMe") && have->description[4] &&
        have->description[5] == 'G') {
        item->verdict = ADOPT_GENERATED;
        return 0;
    }
    if (ring_key_is_ours(have) && vault_store(a->m->vault) && !is_named(a->q)) {
        item->verdict = ADOPT_LEFT;
        return detail_set(&item->detail, 0,
                          "nvme-keyd published it, and its record is gone: adopt it by its serial");
    }
    r = is_ready(a, have->serial) ? ring_read(have->serial, &tls_psk) : -EBUSY;
    if (r == -ENOMEM)
        return r;
    if (r == -EMSGSIZE) {
        item->verdict = ADOPT_MALFORMED;
        return detail_set(&item->detail, 0, "it has neither 32 nor 48 bytes");
    }
    if (r < 0) {
        item->verdict = ADOPT_UNREADABLE;
        return detail_set(&item->detail, 0, "it cannot be read: %s", strerror(-r));
    }
    return adopt_key(a, item, have, tls_psk);
}

static int compare(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    return (x->key->serial > y->key->serial) - (x->key->serial < y->key->serial);
}

static unsigned weigh(const Adoption *a, const RingKey *have)
{
    unsigned weight = 0;
    PskIdentity i;

    if (psk_identity_parse(have->description, strlen(have->description), &i) == 0)
        weight = KEY_RANK_BIT(i.version, i.hash);
    for (size_t n = 0; n < a->evidence.controllers.n; n++)
        if (controller_uses(&a->evidence.controllers.items[n], have->serial))
            weight |= KEY_RANK_BIT(KEY_VERSIONS, PSK_HASH_SHA384);
    return weight;
}

static int judge_keys(Adoption *a)
{
    _cleanup_(freep) Candidate *order = calloc(a->list.n + 1, sizeof(*order));
    size_t n = 0;
    int r = 0;

    if (!order)
        return -ENOMEM;
    for (size_t i = 0; i < a->list.n; i++)
        if (is_meant(a, a->list.keys[i].serial, a->list.keys[i].description))
            order[n++] = (Candidate){&a->list.keys[i], weigh(a, &a->list.keys[i])};
    qsort(order, n, sizeof(*order), compare);
    for (size_t i = 0; i < n && r == 0; i++) {
        const Key *owner = find_owner(a->m, order[i].key);
        AdoptItem *item;

        /* What we have published is nothing to adopt. */
        if (owner && ring_key_is_ours(order[i].key) && !is_named(a->q))
            continue;
        item = add_item(&a->report, order[i].key->serial, order[i].key->description);
        r = item ? judge(a, item, order[i].key, owner) : -ENOMEM;
    }
    return r;
}

static int note_others(Adoption *a)
{
    for (size_t i = 0; i < a->others.n; i++) {
        const RingOther *o = &a->others.items[i];
        AdoptItem *item;

        if (!is_meant(a, o->serial, o->description))
            continue;
        item = add_item(&a->report, o->serial, o->description);
        if (!item)
            return -ENOMEM;
        item->verdict = ADOPT_OTHER;
        item->type = printable(o->type);
        if (!item->type)
            return -ENOMEM;
    }
    return 0;
}

static int look(Adoption *a, char **reterr_detail)
{
    Manager *m = a->m;
    const Ring *ring = publisher_refresh(m->publisher);
    int r;

    if (!ring)
        return detail_set(reterr_detail, -ENOKEY, "%s", PUBLISHER_NO_RING);
    if (a->q->id) {
        a->of = key_table_find(&m->keys, a->q->id);
        if (!a->of || a->of->state == KEY_BROKEN)
            return detail_set(reterr_detail, -ENOENT, "no key has the id \"%s\"", a->q->id);
    }
    if ((r = ring_list(ring, &a->list)) < 0 || (r = ring_list_others(ring, &a->others)) < 0 ||
        (r = ring_under_construction(&a->unready, &a->n_unready)) < 0)
        return r == -ENOMEM ? r : detail_set(reterr_detail, -ENOTCONN, "%s", ring_error_text(r));
    role_evidence_read(m, &a->evidence);
    return 0;
}

/* Marks adopted keys as ours. Without the mark a key works as well, and its record knows it. */
static void claim(const Key *k)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (k->serials[v])
            (void)ring_mark(k->serials[v], false);
}

static int commit(Adoption *a, char **reterr_detail)
{
    ReconcileResult synced;
    int r = transition_commit(&a->t);

    if (r < 0)
        return manager_store_failed(r, reterr_detail);
    /* The keys are kept in any case; their serials say whether they are in the ring. */
    r = manager_reconcile_now(a->m, &synced);
    for (size_t i = 0; i < a->report.n; i++) {
        AdoptItem *item = &a->report.items[i];

        if (!item->key)
            continue;
        note_key(item, item->key);
        claim(item->key);
        a->report.unpublished += publisher_lacks(a->m->publisher, item->key);
    }
    if (r == 0)
        (void)!manager_take_steps(a->m);
    return 0;
}

int manager_adopt(Manager *m, const AdoptRequest *q, AdoptReport *ret, char **reterr_detail)
{
    _cleanup_(adoption_done) Adoption a = {
        .m = m, .q = q, .evidence = {.target = -1}, .t = {.m = m}};
    int r;

    /* Without a store, nothing but the verdicts can be had. */
    a.t.trial = q->dry_run || !vault_store(m->vault);
    if ((r = q->dry_run ? vault_require_open(m->vault, reterr_detail)
                        : vault_require_writable(m->vault, reterr_detail)) < 0 ||
        (r = look(&a, reterr_detail)) < 0)
        return r;
    if ((r = judge_keys(&a)) < 0 || (r = note_others(&a)) < 0)
        return manager_store_failed(r, reterr_detail);
    if (a.report.n == 0 && is_named(q))
        return detail_set(reterr_detail, -ENOENT, "the keyring has no such key");
    for (size_t i = 0; i < a.report.n; i++)
        a.report.counts[a.report.items[i].verdict]++;
    if (a.t.n_added > 0 && !q->dry_run &&
        ((r = vault_require_store(m->vault, reterr_detail)) < 0 ||
         (r = commit(&a, reterr_detail)) < 0))
        return r;
    for (size_t i = 0; i < a.report.n; i++)
        a.report.items[i].key = NULL;
    *ret = a.report;
    a.report = (AdoptReport){.n = 0};
    return 0;
}

bool manager_await_adopt(Manager *m, const AdoptRequest *request)
{
    _cleanup_(freep) char *detail = NULL;
    AdoptRequest q = *request;
    AdoptReport report = {.n = 0};
    bool none;

    if (!vault_await(m->vault))
        return false;
    if (vault_store(m->vault) || q.dry_run)
        return true;
    q.dry_run = true;
    none = manager_adopt(m, &q, &report, &detail) < 0 || report.counts[ADOPT_ADOPTED] == 0;
    adopt_report_done(&report);
    return none || vault_await_new(m->vault);
}
