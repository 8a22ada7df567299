/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/publish/need.h"
#include "nvme-keyd/publish/reconcile.h"
#include "nvme-keyd/publish/rival.h"

/*
 * How the ring is reconciled with the table.
 *
 * Wanted: each identity of a publishable key. Where two keys of a pair share one, the active key
 * has it. There: the configured PSKs in the ring, each of them the right key (its serial is known
 * from before, or its bytes are those of the record), or another one under a name that we want, or
 * an unwanted key. Stale, of the last: ours by its mark, while the table is known to be
 * complete.
 *
 * In this order:
 *    1. plan_collect()       what is wanted
 *    2. plan_match()         what is there, and what of it is right or stale
 *    3. plan_find_lost()     what was there before
 *    4. plan_apply()         add what is missing; this displaces a key of the same name in one step
 *    5. plan_find_rivals()   which foreign keys the kernel could take for ours
 *    6. plan_remove_stale()  after lookups that may not have seen this, unlink what is stale,
 *                            except what a controller needs
 *    7. plan_settle_rivals() note these foreign keys, or unlink them
 * Adding comes first, and nothing is unlinked if anything could not be added or controllers could
 * not be read: so no handshake finds a gap, and no controller loses the only key of its pair.
 */

/* An identity of the table, whether it should be in the ring, and its key there. */
typedef struct Want {
    Key *key;
    unsigned version;
    bool publish;
    /* Serial of a key with this identity: with the right bytes, or to be unlinked. */
    int32_t found;
    bool displace;       /* the ring has a key with other bytes */
    int32_t unready;     /* serial of that key while it is under construction */
    const RingKey *have; /* the key with the right bytes, or NULL */
    bool held;           /* unwanted, but a controller needs it */
    bool defers;         /* handed in, and the ring may have a key of the store for the pair */
    LossCause cause;     /* why the key of before has left */
    int32_t before;      /* serial that should be in the ring and is not, or 0 */
} Want;

typedef struct Plan {
    Want *wants;
    size_t n_wants;
    struct lh_table *by_identity; /* identity -> Want */
    bool *stale; /* for each key of the ring: unlink it once all wanted keys are there */
    size_t n_stale;
    bool keep_unknown; /* unknown keys may belong to broken records */
    bool keep_marked;  /* unknown handed-in keys may belong to credentials that could not be read */
    int32_t *unready;  /* serials of keys under construction, read when first needed */
    size_t n_unready;
    bool knows_unready;
    size_t n_there; /* wanted keys of before that are still in the ring, */
    size_t n_lost;  /* and those that are not */
    Rival *rivals;  /* for each key of the ring, if it is foreign */
    size_t n_rivals;
} Plan;

static void plan_done(const Plan *p)
{
    if (p->by_identity)
        lh_table_free(p->by_identity);
    free(p->wants);
    free(p->stale);
    free(p->rivals);
    free(p->unready);
}

/* On a target, keys of one pair may share their version 0 identity for a while. */
static int plan_want(Plan *p, Want want)
{
    const char *identity = want.key->identities[want.version];
    struct lh_entry *e = lh_table_lookup_entry(p->by_identity, identity);
    Want *slot;

    if (e) {
        Want loser = want;

        slot = (Want *)(uintptr_t)lh_entry_v(e);
        if (want.publish && (!slot->publish || key_goes_before(want.key, slot->key))) {
            loser = *slot;
            *slot = want;
        }
        loser.key->serials[loser.version] = 0;
        loser.key->lost[loser.version] = 0;
        return 0;
    }
    slot = &p->wants[p->n_wants++];
    *slot = want;
    return lh_table_insert(p->by_identity, identity, slot) < 0 ? -ENOMEM : 0;
}

static int plan_collect(Plan *p, const KeyTable *table)
{
    size_t n = key_table_size(table) * KEY_VERSIONS;
    uint64_t now = now_realtime();
    Key *k;

    p->wants = calloc(n + 1, sizeof(*p->wants));
    /* Twice the room, so that the table never grows. */
    p->by_identity = lh_kchar_table_new((int)(2 * n + 16), NULL);
    if (!p->wants || !p->by_identity)
        return -ENOMEM;

    KEY_TABLE_FOREACH(table, k)
    {
        p->keep_unknown |= k->state == KEY_BROKEN;
        for (unsigned v = 0; v < KEY_VERSIONS; v++) {
            Want want = {.key = k, .version = v, .publish = key_is_publishable(k, now)};

            if (k->identities[v] && plan_want(p, want) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

/* True for an unwanted key of ours. Handed-in keys carry a mark, so they can be told apart from
 * keys of the store even without a store. */
static bool is_stale(const Plan *p, const RingKey *have, const Want *want)
{
    if ((want && want->publish) || (!ring_key_is_ours(have) && (!want || getegid() != 0)))
        return false;
    return want || !(have->handed_in ? p->keep_marked : p->keep_unknown);
}

/* True if the payload of a key can be read. Keys that we added are never under construction. */
static bool is_ready(Plan *p, const RingKey *have)
{
    if (ring_key_is_ours(have))
        return true;
    if (!p->knows_unready && ring_under_construction(&p->unready, &p->n_unready) < 0)
        return false;
    p->knows_unready = true;
    for (size_t i = 0; i < p->n_unready; i++)
        if (p->unready[i] == have->serial)
            return false;
    return true;
}

/* True if a key in the ring has the bytes of our key. */
static bool has_bytes(const Key *k, unsigned version, int32_t serial)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;
    size_t size;

    return key_unseal(k, &payload) == 0 &&
           key_payload_tls_psk(payload, version, &bytes, &size) == 0 &&
           ring_key_equals(serial, bytes, size) == 1;
}

static void match_wanted(Plan *p, Want *want, const RingKey *have)
{
    bool known = want->key->serials[want->version] == have->serial;
    bool ready = known || is_ready(p, have);
    bool current = known || (ready && has_bytes(want->key, want->version, have->serial));

    want->found = current ? have->serial : 0;
    want->displace = !current;
    want->unready = ready ? 0 : have->serial;
    want->have = current ? have : NULL;
}

/* While the store is closed, we cannot know which keys it has. A key published from it earlier
 * keeps its pair until the store is opened: on a host no second key may join it. */
static void defer_to_store_key(const Plan *p, const KeyTable *table, const RingKey *have)
{
    PskIdentity i;

    if (have->handed_in || !ring_key_is_ours(have) ||
        psk_identity_parse(have->description, strlen(have->description), &i) != 0)
        return;
    for (const Key *k =
             key_table_pair(table, i.hostnqn, i.hostnqn_length, i.subsysnqn, i.subsysnqn_length);
         k; k = k->next_of_pair) {
        void *v = NULL;

        if (key_is_handed_in(k) && k->identities[i.version] &&
            lh_table_lookup_ex(p->by_identity, k->identities[i.version], &v))
            ((Want *)v)->defers = true;
    }
}

static int plan_match(Plan *p, bool all_records, const KeyTable *table, const RingList *list)
{
    p->stale = calloc(list->n + 1, sizeof(*p->stale));
    if (!p->stale)
        return -ENOMEM;

    for (size_t i = 0; i < list->n; i++) {
        const RingKey *have = &list->keys[i];
        void *v = NULL;
        Want *want;

        if (!ring_key_is_configured(have))
            continue;
        want = lh_table_lookup_ex(p->by_identity, have->description, &v) ? v : NULL;
        p->stale[i] = is_stale(p, have, want);
        p->n_stale += p->stale[i];
        if (p->stale[i] && want)
            want->found = have->serial;
        if (want && want->publish)
            match_wanted(p, want, have);
        else if (!all_records)
            defer_to_store_key(p, table, have);
    }
    return 0;
}

static int set_lifetime(Key *k, unsigned version, unsigned lifetime)
{
    int r = ring_set_timeout(k->serials[version], lifetime);

    if (r == 0)
        k->lifetimes[version] = lifetime;
    return r;
}

/* The serial of a resident key that was in the ring before, or 0. */
static int32_t serial_before(const Key *k, unsigned version)
{
    int32_t serial = k->serials[version] ? k->serials[version] : k->lost[version];

    return k->lifetimes[version] == 0 ? serial : 0;
}

static int add_version(const Ring *ring, const Secret *payload, Key *k, unsigned version,
                       unsigned lifetime)
{
    const uint8_t *bytes;
    size_t size;
    int r = key_payload_tls_psk(payload, version, &bytes, &size);

    if (r < 0)
        return r;
    r = ring_add(ring, k->identities[version], bytes, size, key_is_handed_in(k),
                 &k->serials[version]);
    if (r < 0)
        return r;
    k->lifetimes[version] = 0;
    k->lost[version] = 0;
    return lifetime > 0 ? set_lifetime(k, version, lifetime) : 0;
}

/* Keeps a key that is in the ring, perhaps since another configuration, and gives it the right
 * timeout. Returns false if that fails, as for a key that just expired: then it has to be added
 * again. */
static bool keep(const Want *want, unsigned lifetime)
{
    Key *k = want->key;
    unsigned v = want->version;

    if (want->found && k->serials[v] != want->found)
        k->lifetimes[v] = KEY_LIFETIME_UNKNOWN;
    k->serials[v] = want->found;
    if (want->found)
        k->lost[v] = 0;
    if (want->have && (want->have->handed_in != (key_is_handed_in(k)) ||
                       (ring_key_is_ours(want->have) && !want->have->owned)))
        (void)ring_mark(want->found, key_is_handed_in(k));
    return want->found != 0 && (k->lifetimes[v] == lifetime || set_lifetime(k, v, lifetime) == 0);
}

/* Finds the keys that have left the ring although they belong there. */
static void plan_find_lost(Plan *p)
{
    for (size_t i = 0; i < p->n_wants; i++) {
        Want *want = &p->wants[i];
        int32_t before = want->publish ? serial_before(want->key, want->version) : 0;

        p->n_there += before != 0 && want->found == before;
        want->before = want->found ? 0 : before;
        p->n_lost += want->before != 0;
        /* Until it is there again, it is a loss that has not been reported. */
        want->key->lost[want->version] = want->before;
    }
}

/* To be called before anything is added: a dead key that is displaced is gone at once. */
static void plan_find_causes(Plan *p, const RingList *list)
{
    bool all_left = p->n_there == 0 && (list->n == 0 || p->n_lost > 1);

    for (Want *want = p->wants; want < p->wants + p->n_wants; want++)
        if (want->before)
            want->cause = loss_cause_of(want->before, want->displace, all_left);
}

/* A secret that was unsealed, and its key: the versions of a key are adjacent in a plan and sealed
 * together, so they are unsealed once. */
typedef struct Unsealed {
    Secret *payload;
    const Key *of;
} Unsealed;

static void unsealed_done(const Unsealed *u)
{
    secret_free(u->payload);
}

static int unseal_wanted(Unsealed *u, const Key *k)
{
    int r;

    if (u->of == k)
        return 0;
    u->of = NULL;
    u->payload = secret_free(u->payload);
    r = key_unseal(k, &u->payload);
    if (r == 0)
        u->of = k;
    return r;
}

static void add_wanted(const Want *want, const Ring *ring, unsigned lifetime, Unsealed *u,
                       ReconcileResult *result)
{
    int r = unseal_wanted(u, want->key);
    bool unreadable = r < 0;

    /* Unlink first: add_key() of a type that updates blocks on a key under construction. */
    if (r == 0 && want->unready && ring_updates(ring))
        r = ring_unlink(ring, want->unready);
    if (r == 0)
        r = add_version(ring, u->payload, want->key, want->version, lifetime);
    if (r < 0) {
        result->failed++;
        result->error = r;
        result->unreadable = unreadable ? want->key : NULL;
    } else {
        result->added++;
    }
}

static void plan_apply(const Plan *p, const Ring *ring, unsigned on_demand_sec, Losses *losses,
                       ReconcileResult *result)
{
    _cleanup_(unsealed_done) Unsealed unsealed = {NULL, NULL};

    for (size_t i = 0; i < p->n_wants; i++) {
        const Want *want = &p->wants[i];
        unsigned lifetime = key_lifetime(want->key, on_demand_sec);
        size_t added = result->added;

        if (!want->publish) {
            want->key->serials[want->version] = want->found;
            continue;
        }
        if (keep(want, lifetime)) {
            result->kept++;
            continue;
        }
        if ((lifetime > 0 && !want->displace) || want->defers) {
            want->key->serials[want->version] = 0;
            continue;
        }
        add_wanted(want, ring, lifetime, &unsealed, result);
        if (result->added > added && want->before)
            losses_add(losses, want->key, want->version, want->before, want->cause);
    }
}

/* True if a controller needs an unwanted key. An on-demand key becomes resident, as nothing could
 * replace it. */
static bool is_held(const Plan *p, const Need *need, const RingKey *have, RingNotices *notices)
{
    const Controller *c = need_find(need, NULL, have->serial, have->description);
    PskIdentity identity;
    void *v = NULL;
    int r;

    if (!c || psk_identity_parse(have->description, strlen(have->description), &identity) != 0)
        return false;
    /* The key stays even if its timeout cannot be removed. */
    r = ring_set_timeout(have->serial, 0);
    (void)r;
    ring_notices_add(notices, RING_NOTICE_HELD, have->serial, &identity, c->name);
    if (lh_table_lookup_ex(p->by_identity, have->description, &v))
        ((Want *)v)->held = true;
    return true;
}

/* Unlinks a serial of a revoked key. It is revoked before, unless it has other bytes or a
 * controller refers to it: with a revoked key that one could not even be reset. */
static int end_serial(const Ring *ring, const Key *k, unsigned version, int32_t serial,
                      const ControllerList *controllers)
{
    bool used = false;

    for (size_t i = 0; i < controllers->n; i++)
        used |= controller_uses(&controllers->items[i], serial) ||
                controller_is_pinned(&controllers->items[i], serial);
    return used || !has_bytes(k, version, serial) ? ring_unlink(ring, serial)
                                                  : ring_revoke(ring, serial);
}

/* Returns the key that is revoked and has this identity, or NULL. */
static const Want *find_revoked(const Plan *p, const RingKey *have)
{
    void *v = NULL;

    return lh_table_lookup_ex(p->by_identity, have->description, &v) &&
                   ((Want *)v)->key->state == KEY_REVOKED
               ? v
               : NULL;
}

static void plan_remove_stale(const Plan *p, const Ring *ring, const Need *need,
                              RingNotices *notices, ReconcileResult *result)
{
    const RingList *list = need->list;

    for (size_t i = 0; i < list->n; i++) {
        const RingKey *have = &list->keys[i];
        const Want *revoked = find_revoked(p, have);
        int r;

        if (!p->stale[i])
            continue;
        if (!revoked && is_held(p, need, have, notices)) {
            result->held++;
            continue;
        }
        r = revoked
                ? end_serial(ring, revoked->key, revoked->version, have->serial, need->controllers)
                : ring_unlink(ring, have->serial);
        if (r < 0) {
            result->failed++;
            result->error = r;
        } else {
            result->removed++;
        }
    }
    for (size_t i = 0; i < p->n_wants && result->failed == 0; i++)
        if (!p->wants[i].publish && !p->wants[i].held)
            p->wants[i].key->serials[p->wants[i].version] = 0;
}

static int plan_find_rivals(Plan *p, const RingList *list, const KeyTable *table,
                            bool kernel_is_exact)
{
    p->rivals = calloc(list->n + 1, sizeof(*p->rivals));
    if (!p->rivals)
        return -ENOMEM;
    for (size_t n = 0; n < list->n; n++) {
        const RingKey *have = &list->keys[n];
        void *v = NULL;

        if (p->stale[n] || !ring_key_is_configured(have) ||
            (lh_table_lookup_ex(p->by_identity, have->description, &v) && ((Want *)v)->publish))
            continue;
        p->rivals[n] = rival_find(table, have->description, kernel_is_exact);
        p->n_rivals += p->rivals[n].of != NULL;
    }
    return 0;
}

/* Unlinks foreign keys of our pairs, or notes them. They are never revoked: a controller may use
 * one of them until its next reset, which finds ours. A shadow stays, because its own pair may need
 * it. */
static void plan_settle_rivals(const Plan *p, const Ring *ring, const Need *need, bool displace,
                               RingNotices *notices, ReconcileResult *result)
{
    for (size_t n = 0; n < need->list->n; n++) {
        const RingKey *have = &need->list->keys[n];
        const Rival *rival = &p->rivals[n];
        bool unlinked;

        if (!rival->of)
            continue;
        unlinked = displace && rival->kind != RING_NOTICE_SHADOW && result->failed == 0 &&
                   !rival_is_pinned(need->controllers, have->serial) &&
                   ring_unlink(ring, have->serial) == 0;
        result->displaced += unlinked;
        rival_note(rival, unlinked, have->serial, notices);
    }
}

/* Without knowing the controllers, nothing may be unlinked. */
static int read_controllers(const Plan *p, const ReconcileOptions *options, ControllerList *ret)
{
    bool needed = p->n_stale > 0 || (options->displace_foreign && p->n_rivals > 0);

    return needed && options->controllers ? controllers_read(options->controllers, ret) : 0;
}

int reconcile_ring(const Ring *ring, const KeyTable *table, const ReconcileOptions *options,
                   RingNotices *notices, Losses *losses, ReconcileResult *ret)
{
    _cleanup_(controller_list_done) ControllerList controllers = {NULL, 0};
    _cleanup_(ring_list_done) RingList list = {NULL, 0};
    _cleanup_(plan_done) Plan plan = {.wants = NULL};
    const Need need = {&controllers, table, &list, options->on_demand_sec};
    ReconcileResult result = {0};
    int r;

    /* Without a store, an unknown key may still be wanted. */
    plan.keep_unknown = !options->all_records;
    plan.keep_marked = !options->all_handed_in;
    if ((r = ring_list(ring, &list)) < 0 || (r = plan_collect(&plan, table)) < 0 ||
        (r = plan_match(&plan, options->all_records, table, &list)) < 0)
        return r;

    plan_find_lost(&plan);
    plan_find_causes(&plan, &list);
    plan_apply(&plan, ring, options->on_demand_sec, losses, &result);
    r = plan_find_rivals(&plan, &list, table, options->kernel_is_exact);
    if (r < 0)
        return r;
    r = read_controllers(&plan, options, &controllers);
    result.blind = r < 0;
    result.failed += result.blind;
    result.error = result.blind ? r : result.error;
    if (result.added > 0 && (plan.n_stale > 0 || options->displace_foreign))
        ring_await_lookups(now_monotonic());
    /* A stale key may cover for a key that could not be added. */
    if (result.failed == 0)
        plan_remove_stale(&plan, ring, &need, notices, &result);
    plan_settle_rivals(&plan, ring, &need, options->displace_foreign, notices, &result);
    *ret = result;
    return 0;
}

/* True if a key is in the ring, with its full lifetime from now. */
static bool is_there(const Ring *ring, Key *k, unsigned version, unsigned lifetime)
{
    return k->serials[version] && ring_holds(ring, k->identities[version], k->serials[version]) &&
           ((lifetime == 0 && k->lifetimes[version] == 0) ||
            set_lifetime(k, version, lifetime) == 0);
}

int reconcile_publish(const Ring *ring, Key *k, const Secret *payload, unsigned versions,
                      unsigned on_demand_sec)
{
    _cleanup_(secret_freep) Secret *unsealed = NULL;
    unsigned lifetime = key_lifetime(k, on_demand_sec);
    int r = 0;

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++) {
        if (!(versions & KEY_VERSION_BIT(v)) || !k->identities[v] || is_there(ring, k, v, lifetime))
            continue;
        if (!payload && !unsealed)
            r = key_unseal(k, &unsealed);
        if (r == 0)
            r = add_version(ring, payload ? payload : unsealed, k, v, lifetime);
    }
    return r;
}

/* Unlinks one version of a key, or ends it if controllers is not NULL. */
static int withdraw_version(const Ring *ring, Key *k, unsigned version, bool is_sole,
                            const ControllerList *controllers)
{
    int32_t serials[] = {0, k->serials[version]};

    /* A request of root, or another program, may have added one. */
    if (k->identities[version] && is_sole)
        serials[0] = ring_look_up(ring, k->identities[version]);
    for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
        int r = 0;

        if (serials[i] && (i == 0 || serials[i] != serials[0]))
            r = controllers ? end_serial(ring, k, version, serials[i], controllers)
                            : ring_unlink(ring, serials[i]);
        if (r < 0)
            return r;
    }
    k->serials[version] = k->lost[version] = 0;
    return 0;
}

static int withdraw(const Ring *ring, Key *k, unsigned versions, const ControllerList *controllers)
{
    int r = 0;

    for (unsigned v = 0; v < KEY_VERSIONS && r == 0; v++)
        r = withdraw_version(ring, k, v, versions & KEY_VERSION_BIT(v), controllers);
    return r;
}

int reconcile_withdraw(const Ring *ring, Key *k, unsigned versions)
{
    return withdraw(ring, k, versions, NULL);
}

int reconcile_revoke(const Ring *ring, Key *k, unsigned versions, const ControllerList *controllers)
{
    return withdraw(ring, k, versions, controllers);
}
