/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "envelope/cms.h"
#include "envelope/limits.h"
#include "nvme-keyd/envelopes/worker.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/manager/envelopes.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/manager/transition.h"

/*
 * Taking an envelope. A child process opens it and returns the pairs of this machine; then all of
 * them are changed in one commit, in which the store also gets their generations:
 *
 *    the pair has       the envelope has a PSK                       a tombstone
 *    no key             a new key is active
 *    an active key      a new key is pending: on a target it is      all its keys are removed
 *                       accepted from now on, a host follows its
 *                       targets
 *    a pending one too  a target activates that one, because its     the same
 *                       host may have it; a host never offered it,
 *                       so it is removed
 *
 * So a target accepts the keys of the last two generations at least, and those before until
 * RetireSec= has passed; a host that comes back after many rotations switches to the last one.
 */

/* The plan for a pair. */
typedef struct Plan {
    TakeItem item;
    Key *new;        /* of the table */
    Secret *payload; /* of new */
    Key *of;         /* a key with the names of the pair, if anything changes */
} Plan;

typedef struct Taking {
    Manager *m;
    ManagerTaken done;
    void *userdata;
} Taking;

const char *take_outcome_to_string(TakeOutcome outcome)
{
    static const char *const words[] = {"added", "pending", "unchanged", "removed"};

    return words[outcome];
}

/* Details for people name the pair. */
static int check_pair(Manager *m, const TakenPair *p, uint64_t now, char **reterr_detail)
{
    int refusal = ENVELOPE_REPLAYED;
    uint64_t last = records_generation(&m->fleet, p->hostnqn, p->subsysnqn);

    if (p->generation > last)
        refusal = p->not_before_usec > now                        ? ENVELOPE_NOT_YET
                  : p->expires_usec > 0 && p->expires_usec <= now ? ENVELOPE_EXPIRED
                                                                  : 0;
    if (!refusal)
        return 0;
    return detail_set(reterr_detail, refusal, "%s %s: %s", p->hostnqn, p->subsysnqn,
                      envelope_refusal_text(refusal));
}

static KeyRole role_of(const TakenPair *p)
{
    return p->is_host && p->is_target ? KEY_ROLE_BOTH
           : p->is_host               ? KEY_ROLE_HOST
                                      : KEY_ROLE_TARGET;
}

static bool is_alive(const Key *k)
{
    return !key_is_handed_in(k) &&
           (k->state == KEY_PENDING || k->state == KEY_ACTIVE || k->state == KEY_RETIRING);
}

/* A key that this machine has in another role was not made by an envelope. */
static int check_role(const Key *k, KeyRole role, char **reterr_detail)
{
    if (k->role == role)
        return 0;
    return detail_set(
        reterr_detail, -EEXIST,
        "key %s has the role %s, and the envelope names this machine as %s: remove the "
        "key, or have the envelope made for its role",
        k->id, key_role_to_string(k->role), key_role_to_string(role));
}

static Key *first_of_pair(Manager *m, const TakenPair *p)
{
    return key_table_pair(&m->keys, p->hostnqn, strlen(p->hostnqn), p->subsysnqn,
                          strlen(p->subsysnqn));
}

static int plan_removal(Transition *t, Plan *plan, char **reterr_detail)
{
    const TakenPair *p = plan->item.pair;
    int r = 0;

    plan->item.outcome = TAKE_REMOVED;
    for (Key *k = first_of_pair(t->m, p); k && r == 0; k = k->next_of_pair) {
        if (!is_alive(k))
            continue;
        plan->of = k;
        if ((r = check_role(k, role_of(p), reterr_detail)) == 0 &&
            (r = manager_check_needed(t->m, k, reterr_detail)) == 0)
            r = transition_apply(t, k, KEY_EVENT_REMOVE);
    }
    return r;
}

static int make_key(const TakenPair *p, Key **ret, Secret **ret_payload, char **reterr_detail)
{
    const KeyRequest q = {.hostnqn = p->hostnqn,
                          .subsysnqn = p->subsysnqn,
                          .role = role_of(p),
                          .versions = p->versions,
                          .derivation = p->derivation,
                          .hash = p->hash};
    int r = key_prepare(&q, ret, reterr_detail);

    if (r < 0)
        return r;
    (*ret)->expires_usec = p->expires_usec;
    return key_fill(*ret, p->configured, ret_payload, reterr_detail);
}

/* The keys of the pair that a new one meets. */
typedef struct Others {
    Key *active, *pending;
    Key *same; /* active or pending, with the same PSK */
} Others;

static int find_others(Manager *m, const Key *new, const Secret *payload, Others *ret,
                       char **reterr_detail)
{
    Key *k;
    int r;

    KEY_TABLE_FOREACH_OF_PAIR(&m->keys, new, k)
    {
        if (!is_alive(k))
            continue;
        if ((r = check_role(k, new->role, reterr_detail)) < 0)
            return r;
        if (manager_has_psk(k, new, payload) && key_covers(k, new)) {
            if (k->state == KEY_RETIRING)
                return detail_set(reterr_detail, -EEXIST,
                                  "key %s with this PSK is retiring: go back to it "
                                  "(nvme-keyctl activate), or have a new PSK made",
                                  k->id);
            ret->same = k;
        }
        if (k->state == KEY_ACTIVE)
            ret->active = k;
        else if (k->state == KEY_PENDING)
            ret->pending = k;
    }
    return 0;
}

/* A successor that waits gives way, see the top. */
static int end_pending(Transition *t, Others *o)
{
    int r;

    if (!o->pending)
        return 0;
    if (o->pending->role & KEY_ROLE_HOST)
        return transition_apply(t, o->pending, KEY_EVENT_REMOVE);
    r = manager_switch(t, o->pending);
    /* Of another hash or derivation, it stands beside its predecessor otherwise. */
    if (r == 0 && o->active && o->active->state == KEY_ACTIVE)
        r = transition_apply(t, o->active, KEY_EVENT_DISPLACE);
    o->active = o->pending;
    return r;
}

static int succeed(const Others *o, Key *k, char **reterr_detail)
{
    const Rotation rotation = {.at_usec = 0};
    _cleanup_(freep) char *warning = NULL;
    int r = manager_check_cutover(&rotation, o->active, k, &warning, reterr_detail);

    if (r < 0)
        return r;
    memcpy(k->succeeds, o->active->id, sizeof(k->succeeds));
    k->state = KEY_PENDING;
    k->follow = k->role & KEY_ROLE_HOST;
    k->rotate_usec = o->active->rotate_usec;
    k->comment = o->active->comment ? strdup(o->active->comment) : NULL;
    return !o->active->comment || k->comment ? 0 : -ENOMEM;
}

static int check_new(Manager *m, const Key *k, char **reterr_detail)
{
    const KeyCheck check = {.kernel_is_exact = publisher_kernel_is_exact()};
    Key *other;

    return key_check_neighbours(&m->keys, k, &check, &other, reterr_detail);
}

static int plan_key(Transition *t, Plan *plan, char **reterr_detail)
{
    _cleanup_(key_freep) Key *k = NULL;
    Others o = {.active = NULL};
    Manager *m = t->m;
    int r;

    if ((r = make_key(plan->item.pair, &k, &plan->payload, reterr_detail)) < 0 ||
        (r = manager_check_revoked(m, k, plan->payload, reterr_detail)) < 0 ||
        (r = find_others(m, k, plan->payload, &o, reterr_detail)) < 0)
        return r;
    plan->item.outcome = o.same ? TAKE_UNCHANGED : o.active ? TAKE_PENDING : TAKE_ADDED;
    plan->item.key = o.same;
    if (o.same)
        return 0;
    if ((r = end_pending(t, &o)) < 0 ||
        (r = o.active ? succeed(&o, k, reterr_detail) : check_new(m, k, reterr_detail)) < 0)
        return r;
    plan->of = plan->new = k;
    plan->item.key = k;
    return transition_add(t, &k, plan->payload);
}

static int plan_pair(Transition *t, const TakenEnvelope *e, Plan *plan, char **reterr_detail)
{
    const TakenPair *p = plan->item.pair;
    PairRecord record = {.hostnqn = (char *)(uintptr_t)p->hostnqn,
                         .subsysnqn = (char *)(uintptr_t)p->subsysnqn,
                         .generation = p->generation,
                         .changed_usec = now_realtime()};
    int r = check_pair(t->m, p, record.changed_usec, reterr_detail);

    if (r != 0)
        return r;
    memcpy(record.envelope, e->id, sizeof(record.envelope));
    memcpy(record.issuer, e->issuer, sizeof(record.issuer));
    r = p->configured ? plan_key(t, plan, reterr_detail) : plan_removal(t, plan, reterr_detail);
    if (r == 0)
        r = transition_begin(t);
    return r < 0 ? r : records_stage_pair(&t->m->fleet, t->store, &record);
}

/* Makes the ring right. The table keeps the removed keys until here. */
static void settle(Manager *m, const Plan *plan)
{
    Key *next;

    if (!plan->of)
        return;
    (void)!manager_settle_pair(m, plan->of, plan->new, plan->payload);
    for (Key *k = first_of_pair(m, plan->item.pair); k; k = next) {
        next = k->next_of_pair;
        if (k->state == KEY_GONE)
            key_table_remove(&m->keys, k);
    }
}

static int commit(Manager *m, const TakenEnvelope *e, Plan *plans, char **reterr_detail)
{
    _cleanup_(transition_done) Transition t = {.m = m};
    int r = 0;

    for (size_t i = 0; i < e->n && r == 0; i++) {
        plans[i].item.pair = &e->pairs[i];
        r = plan_pair(&t, e, &plans[i], reterr_detail);
    }
    if (r == 0) {
        r = transition_commit(&t);
        if (r < 0)
            r = manager_store_failed(r, reterr_detail);
    }
    records_end_pairs(&m->fleet, r == 0);
    return r;
}

static void report(const Taking *t, const TakenEnvelope *e, const Plan *plans)
{
    TakeItem items[ENVELOPE_ENTRIES_MAX];

    for (size_t i = 0; i < e->n; i++)
        items[i] = plans[i].item;
    t->done(0, &(TakeReport){e->id, e->issuer, items, e->n}, NULL, t->userdata);
}

static int apply(const Taking *t, const TakenEnvelope *e, char **reterr_detail)
{
    _cleanup_(freep) Plan *plans = calloc(e->n, sizeof(*plans));
    Manager *m = t->m;
    int r = plans ? vault_require_writable(m->vault, reterr_detail) : -ENOMEM;

    if (r == 0)
        r = vault_require_store(m->vault, reterr_detail);
    if (r == 0)
        r = commit(m, e, plans, reterr_detail);
    for (size_t i = 0; i < e->n && r == 0; i++)
        settle(m, &plans[i]);
    if (r == 0) {
        manager_update_deadline(m);
        report(t, e, plans);
    }
    for (size_t i = 0; plans && i < e->n; i++)
        secret_free(plans[i].payload);
    return r;
}

static void end(Taking *t, int error, const char *detail)
{
    if (error != 0)
        t->done(error, NULL, detail, t->userdata);
    free(t);
}

static void on_opened(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    TakenEnvelope e = {.n = 0};
    Taking *t = userdata;

    if (error == 0)
        error = output ? taken_parse(output->data, output->size, &e) : -EBADMSG;
    if (error == 0) {
        error = apply(t, &e, &why);
        taken_done(&e);
    }
    end(t, error, why ? why : detail);
}

/* The issuers of the store, and of files. */
static int collect_issuers(Manager *m, const IssuerFiles *files, Secret *secrets[ISSUERS_MAX],
                           Blob *blobs, size_t *n)
{
    int r = 0;

    for (size_t i = 0; i < m->fleet.n_issuers && r == 0; i++) {
        r = store_unseal(vault_store(m->vault), m->fleet.issuers[i].id, &secrets[i]);
        if (r == 0)
            blobs[(*n)++] = (Blob){secrets[i]->data, secrets[i]->size};
    }
    for (size_t i = 0; i < files->n; i++)
        blobs[(*n)++] = (Blob){files->items[i].text, files->items[i].size};
    return r;
}

static int start(Taking *t, const void *envelope, size_t size, char **reterr_detail)
{
    _cleanup_(issuer_files_done) IssuerFiles files = {.n = 0};
    _cleanup_(secret_freep) Secret *key = NULL;
    Secret *secrets[ISSUERS_MAX] = {NULL};
    Blob blobs[WORK_BLOBS_MAX] = {{envelope, size}};
    Manager *m = t->m;
    size_t n = 1;
    int r = vault_require_writable(m->vault, reterr_detail);

    if (r < 0)
        return r;
    /* Nothing can be sealed to a machine without a key. */
    if (!m->fleet.machine.id[0])
        return ENVELOPE_NOT_FOR_US;
    r = issuer_files_read(&files, reterr_detail);
    if (r == 0)
        r = collect_issuers(m, &files, secrets, blobs, &n);
    if (r == 0)
        r = store_unseal(vault_store(m->vault), m->fleet.machine.id, &key);
    if (r == 0)
        r = worker_start(m->worker, WORK_OPEN, key, blobs, n, on_opened, t);
    for (size_t i = 0; i < ISSUERS_MAX; i++)
        secret_free(secrets[i]);
    return r == -EBUSY ? -EAGAIN : r;
}

void manager_take(Manager *m, const void *envelope, size_t size, ManagerTaken done, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Taking *t = calloc(1, sizeof(*t));
    int r;

    if (!t) {
        done(-ENOMEM, NULL, NULL, userdata);
        return;
    }
    *t = (Taking){m, done, userdata};
    r = size > ENVELOPE_SIZE_MAX ? (int)ENVELOPE_MALFORMED : start(t, envelope, size, &detail);
    if (r != 0)
        end(t, r, detail);
}
