/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/keys/key-neighbours.h"
#include "nvme-keyd/keys/key-rules.h"
#include "nvme-keyd/publish/need.h"
#include "nvme-keyd/publish/publisher.h"

struct Publisher {
    PublisherRules rules;
    KeyTable *keys;     /* borrowed */
    Events *events;     /* borrowed */
    bool all_records;   /* the table has all keys of the store, */
    bool all_handed_in; /* and all handed-in keys */

    Ring *ring;
    RingNotices notices; /* as of the last reconciling */
    Losses losses;       /* keys that were put back */
    RingWatch watch;
    uint64_t displaced;         /* foreign keys that were unlinked, since the start */
    int error;                  /* error of the last attempt to publish, or 0 */
    bool unpublished;           /* the ring may not be right: reconcile it again */
    unsigned on_demand_sec;     /* as of the last reconciling */
    ReconcileResult unreported; /* changes in the ring since the last report */
    uint64_t revision;
    uint64_t added_usec; /* CLOCK_MONOTONIC when a key was added for another one, or 0 */
};

int publisher_new(const PublisherRules *rules, KeyTable *keys, Events *events, Publisher **ret)
{
    Publisher *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->rules = *rules;
    p->keys = keys;
    p->events = events;
    *ret = p;
    return 0;
}

Publisher *publisher_free(Publisher *p)
{
    if (!p)
        return NULL;
    ring_close(p->ring);
    ring_notices_done(&p->notices);
    ring_watch_done(&p->watch);
    free(p);
    return NULL;
}

void publisher_set_rules(Publisher *p, const PublisherRules *rules)
{
    if (rules->stand_in != p->rules.stand_in)
        p->ring = ring_close(p->ring);
    p->rules = *rules;
    p->revision++;
}

void publisher_set_complete(Publisher *p, bool all_records, bool all_handed_in)
{
    p->all_records = all_records;
    p->all_handed_in = all_handed_in;
}

uint64_t publisher_revision(const Publisher *p)
{
    return p->revision;
}

static void forget_serials(Publisher *p)
{
    Key *k;

    KEY_TABLE_FOREACH(p->keys, k)
    {
        memset(k->serials, 0, sizeof(k->serials));
        memset(k->lost, 0, sizeof(k->lost));
    }
}

const Ring *publisher_ring(Publisher *p, int *ret_error)
{
    int r = p->ring ? 0 : ring_open(p->rules.stand_in, &p->ring);

    *ret_error = r;
    return p->ring;
}

/* Returns the ring after renewing the link by which tlshd finds it. If that fails, tlshd may have
 * linked the ring itself, which its status shows. */
static const Ring *shared_ring(Publisher *p, int *ret_error)
{
    const Ring *ring = publisher_ring(p, ret_error);

    if (ring)
        (void)!ring_share(ring);
    return ring;
}

int32_t publisher_ring_serial(const Publisher *p)
{
    return p->ring ? ring_serial(p->ring) : 0;
}

static bool kernel_asks(void)
{
    char enabled[4];

    return io_read_line(NAMES_LIVEPATCH_ENABLED, enabled, sizeof(enabled)) >= 0 &&
           strcmp(enabled, "1") == 0;
}

bool publisher_kernel_is_exact(void)
{
    return kernel_asks() && (access(NAMES_LIVEPATCH_MATCH, F_OK) == 0 ||
                             access(NAMES_LIVEPATCH_MATCH_BUILT_IN, F_OK) == 0);
}

Provision publisher_provision(const Publisher *p)
{
    if (!p->rules.on_demand)
        return PROVISION_RESIDENT;
    return p->rules.on_demand_force || kernel_asks() ? PROVISION_ON_DEMAND : PROVISION_REFUSED;
}

unsigned publisher_on_demand_sec(const Publisher *p)
{
    return publisher_provision(p) == PROVISION_ON_DEMAND ? p->rules.on_demand_sec : 0;
}

unsigned publisher_lifetime(const Publisher *p, const Key *k)
{
    return key_lifetime(k, publisher_on_demand_sec(p));
}

bool publisher_lacks(const Publisher *p, const Key *k)
{
    unsigned versions;

    if (!key_is_missing(k, publisher_on_demand_sec(p)))
        return false;
    versions = key_own_versions(p->keys, k);
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        if (versions & KEY_VERSION_BIT(v) && k->identities[v] && !k->serials[v])
            return true;
    return false;
}

int publisher_error(const Publisher *p)
{
    return p->error;
}

static int reconcile(Publisher *p, ReconcileResult *ret)
{
    const ReconcileOptions options = {.on_demand_sec = publisher_on_demand_sec(p),
                                      .all_records = p->all_records,
                                      .all_handed_in = p->all_handed_in,
                                      .displace_foreign = p->rules.displace_foreign,
                                      .kernel_is_exact = publisher_kernel_is_exact(),
                                      .controllers = publisher_controllers(p)};
    int r = 0;

    for (int attempt = 0; attempt < 2; attempt++) {
        _cleanup_(ring_notices_done) RingNotices notices = {NULL, 0, 0};
        const Ring *ring = shared_ring(p, &r);

        if (!ring)
            return r;
        *ret = (ReconcileResult){0};
        r = reconcile_ring(ring, p->keys, &options, &notices, &p->losses, ret);
        if (r == 0) {
            ring_notices_replace(&p->notices, &notices);
            p->displaced += ret->displaced;
        }
        if (r == 0)
            r = ret->error;
        if (r == 0)
            p->on_demand_sec = options.on_demand_sec;
        /* nvme_keyring was unloaded; try once more, because a new ring may exist by now. */
        if (r != -EKEYREVOKED && r != -ENOKEY)
            break;
        p->ring = ring_close(p->ring);
        forget_serials(p);
    }
    return r;
}

typedef int32_t Serials[KEY_VERSIONS];

/* Emits an event for each serial of a key that differs from the one before. */
static void emit_changes(const Publisher *p, const Key *k, const Serials before)
{
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        if (k->serials[v] && k->serials[v] != before[v])
            events_emit(p->events, EVENT_PUBLISHED, k, k->serials[v], NULL);
        else if (before[v] && !k->serials[v])
            events_emit(p->events, EVENT_WITHDRAWN, k, before[v], NULL);
    }
}

/* Returns the serials of all keys in the order of the table, or NULL: only readers need them. */
static Serials *note_serials(const Publisher *p)
{
    Serials *all =
        events_have_readers(p->events) ? calloc(key_table_size(p->keys) + 1, sizeof(*all)) : NULL;
    size_t i = 0;
    const Key *k;

    KEY_TABLE_FOREACH(p->keys, k)
    {
        if (all)
            memcpy(all[i++], k->serials, sizeof(k->serials));
    }
    return all;
}

int publisher_reconcile(Publisher *p, ReconcileResult *ret)
{
    _cleanup_(freep) Serials *before = note_serials(p);
    int r = reconcile(p, ret);
    size_t i = 0;
    const Key *k;

    KEY_TABLE_FOREACH(p->keys, k)
    {
        if (before)
            emit_changes(p, k, before[i++]);
    }
    p->error = r;
    p->revision++;
    /* No retry without a ring: when it appears, an event starts reconciling. */
    p->unpublished = r < 0 && r != -ENOKEY;
    return r;
}

bool publisher_has_unpublished(const Publisher *p)
{
    return p->unpublished;
}

void publisher_note_changes(Publisher *p, const ReconcileResult *s)
{
    p->unreported.added += s->added;
    p->unreported.removed += s->removed;
}

void publisher_take_changes(Publisher *p, ReconcileResult *s)
{
    /* Keys added before are among those kept now. */
    s->kept -= CONST_MIN(s->kept, p->unreported.added);
    s->added += p->unreported.added;
    s->removed += p->unreported.removed;
    p->unreported = (ReconcileResult){0};
}

/* Reconciles outside of a report, and remembers the changes. */
static int reconcile_unasked(Publisher *p)
{
    ReconcileResult result = {0};
    int r = publisher_reconcile(p, &result);

    publisher_note_changes(p, &result);
    return r;
}

/* Publishes one key. If the ring is gone, the new one gets all keys. */
static int publish(Publisher *p, Key *k, const Secret *payload, unsigned on_demand_sec)
{
    unsigned versions = key_own_versions(p->keys, k);
    const Ring *ring;
    Serials before;
    int r;

    memcpy(before, k->serials, sizeof(before));
    p->revision++;
    ring = publisher_ring(p, &r);
    if (!ring)
        return p->error = r;
    r = reconcile_publish(ring, k, payload, versions, on_demand_sec);
    if (r < 0)
        p->error = r;
    if (r != -EKEYREVOKED && r != -ENOKEY) {
        if (memcmp(before, k->serials, sizeof(before)) != 0)
            p->added_usec = now_monotonic();
        emit_changes(p, k, before);
        return r;
    }
    r = reconcile_unasked(p);
    /* Reconciling does not add on-demand keys. */
    return r == 0 && key_lifetime(k, on_demand_sec) > 0
               ? reconcile_publish(p->ring, k, payload, versions, on_demand_sec)
               : r;
}

static int publish_for(Publisher *p, Key *k, const Secret *payload, unsigned on_demand_sec)
{
    int r = publish(p, k, payload, on_demand_sec);

    p->unpublished |= r < 0 && r != -ENOKEY;
    return r;
}

/* True if the ring has a key that k takes the place of. */
static bool replaces_any(Publisher *p, const Key *k)
{
    uint64_t now = now_realtime();
    int r;
    const Ring *ring = publisher_ring(p, &r);
    const Key *o;

    KEY_TABLE_FOREACH_OF_PAIR(p->keys, k, o)
    {
        if (!ring || o == k || key_is_publishable(o, now) || !key_collides(o, k))
            continue;
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (o->identities[v] && ring_look_up(ring, o->identities[v]))
                return true;
    }
    return false;
}

int publisher_publish(Publisher *p, Key *k, const Secret *payload)
{
    unsigned on_demand_sec = publisher_on_demand_sec(p);

    return key_lifetime(k, on_demand_sec) == 0 || replaces_any(p, k)
               ? publish_for(p, k, payload, on_demand_sec)
               : 0;
}

/* True if another key of the pair should be in the ring under the same name. */
static bool shares_identity(const Publisher *p, const Key *k, unsigned version)
{
    const Key *o = k->hostnqn ? key_table_pair(p->keys, k->hostnqn, strlen(k->hostnqn),
                                               k->subsysnqn, strlen(k->subsysnqn))
                              : NULL;

    for (; o; o = o->next_of_pair)
        if (o != k && o->identities[version] && k->identities[version] &&
            strcmp(o->identities[version], k->identities[version]) == 0 &&
            key_is_publishable(o, now_realtime()))
            return true;
    return false;
}

const char *publisher_controllers(const Publisher *p)
{
    const char *directory = getenv(NAMES_ENV_CONTROLLERS);

    if (directory)
        return directory;
    return p->rules.stand_in ? NULL : NAMES_CONTROLLERS;
}

void publisher_need_done(PublisherNeed *seen)
{
    controller_list_done(&seen->controllers);
    ring_list_done(&seen->list);
    *seen = (PublisherNeed){.looked = false};
}

static int look(Publisher *p, PublisherNeed *seen)
{
    const char *directory = publisher_controllers(p);
    const Ring *ring;
    int r;

    if (seen->looked)
        return seen->error;
    seen->looked = true;
    seen->error = directory ? controllers_read(directory, &seen->controllers) : 0;
    if (seen->error < 0 || seen->controllers.n == 0)
        return seen->error;
    ring = publisher_ring(p, &r);
    if (ring)
        seen->error = ring_list(ring, &seen->list);
    return seen->error;
}

static int withdraw(Publisher *p, Key *k, bool revoke, const ControllerList *controllers)
{
    unsigned sole = 0, lifetime = publisher_lifetime(p, k);
    Serials before;
    int r;

    memcpy(before, k->serials, sizeof(before));
    p->revision++;
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        /* A key under a name that we never used belongs to another program. */
        if ((k->serials[v] || lifetime > 0) && !shares_identity(p, k, v))
            sole |= KEY_VERSION_BIT(v);
    r = revoke ? reconcile_revoke(p->ring, k, sole, controllers)
               : reconcile_withdraw(p->ring, k, sole);
    emit_changes(p, k, before);
    p->unpublished |= r < 0 && r != -ENOKEY && r != -EKEYREVOKED;
    return r;
}

int publisher_withdraw(Publisher *p, Key *k)
{
    ring_await_lookups(p->added_usec);
    return withdraw(p, k, false, NULL);
}

int publisher_revoke(Publisher *p, PublisherNeed *seen, Key *k)
{
    return withdraw(p, k, look(p, seen) == 0, &seen->controllers);
}

int publisher_keep(Publisher *p)
{
    const Ring *ring;
    int r;

    if (publisher_on_demand_sec(p) > 0)
        return 0;
    ring = shared_ring(p, &r);
    return ring ? reconcile_keep(ring) : r;
}

bool publisher_is_stale(const Publisher *p)
{
    return p->ring && publisher_on_demand_sec(p) != p->on_demand_sec;
}

size_t publisher_publish_pair(Publisher *p, const Key *first)
{
    unsigned on_demand_sec = publisher_on_demand_sec(p);
    uint64_t now = now_realtime();
    size_t n = 0;

    /* The livepatch was loaded or unloaded. */
    if (publisher_is_stale(p) && reconcile_unasked(p) == -ENOMEM)
        return 0;
    for (Key *k = (Key *)(uintptr_t)first; k; k = k->next_of_pair)
        if (key_is_publishable(k, now) && publish_for(p, k, NULL, on_demand_sec) == 0)
            n++;
    return n;
}

const Ring *publisher_refresh(Publisher *p)
{
    int r;

    /* If nvme_keyring was reloaded, the second attempt finds the new ring. */
    for (int attempt = 0; attempt < 2; attempt++) {
        const Ring *ring = publisher_ring(p, &r);

        if (ring && reconcile_refresh(ring, p->keys) == 0)
            return ring;
        p->ring = ring_close(p->ring);
    }
    forget_serials(p);
    return NULL;
}

bool publisher_is_used(Publisher *p, PublisherNeed *seen, const Key *k)
{
    if (look(p, seen) < 0)
        return false;
    for (size_t i = 0; i < seen->controllers.n; i++)
        for (unsigned v = 0; v < KEY_VERSIONS; v++)
            if (seen->controllers.items[i].live && k->serials[v] &&
                controller_uses(&seen->controllers.items[i], k->serials[v]))
                return true;
    return false;
}

int publisher_needed_by(Publisher *p, PublisherNeed *seen, const Key *k, char ret[static 32])
{
    const Need need = {&seen->controllers, p->keys, &seen->list, publisher_on_demand_sec(p)};
    int r = look(p, seen);

    if (r < 0) {
        p->unpublished = true;
        return r;
    }
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        const Controller *c =
            k->identities[v] ? need_find(&need, k, k->serials[v], k->identities[v]) : NULL;

        if (c) {
            snprintf(ret, 32, "%s", c->name);
            return 1;
        }
    }
    return 0;
}

void publisher_release_held(Publisher *p)
{
    ReconcileResult result;
    int r;

    if (ring_notices_count(&p->notices, RING_NOTICE_HELD) == 0 || !p->ring)
        return;
    /* The next reconciling tries again. */
    r = publisher_reconcile(p, &result);
    (void)r;
}

RingChange publisher_look_for_change(Publisher *p)
{
    bool has_notices = p->notices.n > 0;
    const Ring *ring;
    int r;

    ring = publisher_ring(p, &r);
    if (!ring)
        return RING_AS_IT_WAS;
    r = ring_watch_look(&p->watch, ring, p->keys, publisher_on_demand_sec(p), has_notices);
    if (r == -EKEYREVOKED || r == -ENOKEY) {
        p->ring = ring_close(p->ring);
        forget_serials(p);
        p->revision++;
    }
    return r < 0 ? RING_AS_IT_WAS : (RingChange)r;
}

bool publisher_has_resident(const Publisher *p)
{
    unsigned on_demand_sec = p->ring ? publisher_on_demand_sec(p) : 0;
    uint64_t now = now_realtime();
    const Key *k;

    if (!p->ring)
        return false;
    KEY_TABLE_FOREACH(p->keys, k)
    {
        if (key_is_publishable(k, now) && key_lifetime(k, on_demand_sec) == 0)
            return true;
    }
    return false;
}

uint64_t publisher_displaced(const Publisher *p)
{
    return p->displaced;
}

const RingNotices *publisher_ring_notices(const Publisher *p)
{
    return &p->notices;
}

const RingNotice *publisher_next_ring_notice(Publisher *p)
{
    const RingNotice *n = ring_notices_next(&p->notices);

    if (n && ring_notice_is_rival(n))
        events_emit_pair(p->events, EVENT_FOREIGN, n->hostnqn, n->subsysnqn, n->serial, NULL);
    return n;
}

bool publisher_next_loss(Publisher *p, Loss *ret)
{
    const Key *k;

    if (!losses_take(&p->losses, ret))
        return false;
    k = key_table_find(p->keys, ret->id);
    if (k)
        events_emit(p->events, EVENT_PUT_BACK, k, k->serials[ret->version],
                    loss_cause_to_string(ret->cause));
    return true;
}

size_t publisher_take_more_losses(Publisher *p)
{
    return losses_take_more(&p->losses);
}

const Losses *publisher_losses(const Publisher *p)
{
    return &p->losses;
}
