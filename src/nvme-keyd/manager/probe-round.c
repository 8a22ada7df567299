/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/names.h"
#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/controllers/ports.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/manager/probe-round.h"
#include "nvme-keyd/tlshd/psk-hash.h"

typedef struct Item {
    ProbeRound *round;
    Probe *probe; /* NULL after its answer */
    ProbeTarget target;
} Item;

struct ProbeRound {
    const Manager *manager;
    char id[KEY_ID_SIZE];
    KeyRole role;
    ProbeRoundDone done;
    void *userdata;
    Item *items;
    ProbeResult *results; /* of the items, in their order */
    size_t n, n_waiting;
};

ProbeRound *probe_round_free(ProbeRound *r)
{
    if (!r)
        return NULL;
    for (size_t i = 0; i < r->n; i++)
        probe_free(r->items[i].probe);
    free(r->items);
    free(r->results);
    free(r);
    return NULL;
}

static void emit(const ProbeRound *r, const ProbeResult *result)
{
    char detail[EVENT_DETAIL_MAX + 1];

    (void)snprintf(detail, sizeof(detail), "%s: %s", result->address,
                   probe_answer_to_string(result->answer));
    events_emit(manager_events(r->manager), EVENT_PROBED, key_table_find(&r->manager->keys, r->id),
                0, detail);
}

/* True if a target at an address of this machine takes its keys from the ring: it is the kernel's.
 * It also is if the key is for both ends. Anything else that listens there, such as SPDK, or a
 * forwarded port of another machine, has keys of its own. */
static bool has_our_ring(const ProbeRound *r, const ProbeTarget *t)
{
    const char *ports = manager_system_path(r->manager, NAMES_ENV_TARGET_PORTS, NAMES_TARGET_PORTS);

    return r->role == KEY_ROLE_BOTH || (ports && target_port_is_ours(ports, t->address, t->port));
}

static void set_own(const ProbeRound *r, const Item *item, const char *detail, ProbeResult *ret)
{
    bool ours = has_our_ring(r, &item->target);

    ret->answer = ours ? PROBE_OWN : PROBE_REFUSED;
    (void)snprintf(ret->detail, sizeof(ret->detail), "%s, %s",
                   ours ? "the target of this machine"
                        : "at an address of this machine, but not its kernel's target",
                   detail);
}

static void on_answer(ProbeAnswer answer, const char *detail, void *userdata)
{
    Item *item = userdata;
    ProbeRound *r = item->round;
    ProbeResult *result = &r->results[item - r->items];

    item->probe = probe_free(item->probe);
    result->answer = answer;
    (void)snprintf(result->detail, sizeof(result->detail), "%s", detail);
    if (answer == PROBE_OWN)
        set_own(r, item, detail, result);
    emit(r, result);
    if (--r->n_waiting == 0)
        r->done(r->results, r->n, r->userdata);
}

static int reserve(ProbeRound *r, size_t n)
{
    r->items = calloc(n + 1, sizeof(*r->items));
    r->results = calloc(n + 1, sizeof(*r->results));
    return r->items && r->results ? 0 : -ENOMEM;
}

static void append(ProbeRound *r, const char *controller, const ProbeTarget *target)
{
    ProbeResult *result = &r->results[r->n];

    (void)snprintf(result->controller, sizeof(result->controller), "%s", controller);
    probe_target_format(target, result->address);
    r->items[r->n++] = (Item){.round = r, .target = *target};
}

/* A controller whose address has another form than the kernel gives it has no result, so it must
 * not be there: a round that leaves it out would look complete. */
static int append_controller(ProbeRound *r, const Controller *c, char **reterr_detail)
{
    ProbeTarget target;

    if (probe_target_parse(c->address, &target) < 0)
        return detail_set(reterr_detail, -EHOSTUNREACH,
                          "the address of the controller %s has an unknown form: give the address "
                          "of the target",
                          c->name);
    append(r, c->name, &target);
    return 0;
}

/* Also one that has lost its connection: it needs the key next, and its target may only be down. */
static bool is_of_pair(const Controller *c, const Key *k)
{
    return !c->generates && strcmp(c->hostnqn, k->hostnqn) == 0 &&
           strcmp(c->subsysnqn, k->subsysnqn) == 0;
}

static int add_controllers(ProbeRound *r, const Manager *m, const Key *k, char **reterr_detail)
{
    _cleanup_(controller_list_done) ControllerList list = {NULL, 0};
    const char *directory = publisher_controllers(m->publisher);
    /* No controller uses the stand-in. */
    int error = directory ? controllers_read(directory, &list) : 0;

    if (error < 0)
        return detail_set(reterr_detail, error, "the controllers of this host are unknown: %s",
                          strerror(-error));
    error = reserve(r, list.n);
    for (size_t i = 0; i < list.n && error == 0; i++)
        if (is_of_pair(&list.items[i], k))
            error = append_controller(r, &list.items[i], reterr_detail);
    if (error == 0 && r->n == 0)
        return detail_set(reterr_detail, -ENODEV,
                          "no controller of this host has these names: give the address of "
                          "the target");
    return error;
}

/* The highest version that the key has. */
static unsigned best_version(const Key *k)
{
    unsigned v = KEY_VERSIONS - 1;

    while (v > 0 && !k->identities[v])
        v--;
    return v;
}

/* True if handshakes of this host offer the key as one of SHA-256. */
static bool offers_sha256(const Manager *m, const Key *k, size_t psk_size)
{
    const char *program = manager_system_path(m, NAMES_ENV_TLSHD_PROGRAM, NAMES_TLSHD_PROGRAM);

    return k->role & KEY_ROLE_HOST && psk_size == psk_hash_size(PSK_HASH_SHA384) && program &&
           tlshd_offers_sha256(program);
}

static int start_all(ProbeRound *r, const Manager *m, const Key *k, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    unsigned version = best_version(k);
    const uint8_t *psk = NULL;
    size_t size = 0;
    int error = key_unseal(k, &payload);
    bool as_sha256;

    if (error == 0)
        error = key_payload_tls_psk(payload, version, &psk, &size);
    if (error < 0)
        return detail_set(reterr_detail, error, "the PSK cannot be unsealed: %s", strerror(-error));
    as_sha256 = offers_sha256(m, k, size);
    for (size_t i = 0; i < r->n; i++) {
        error = probe_start(m->prober, &r->items[i].target, k->identities[version], psk, size,
                            as_sha256, on_answer, &r->items[i], &r->items[i].probe);
        if (error < 0)
            return detail_set(reterr_detail, error, "the probe cannot start: %s",
                              error == -ENOBUFS ? "too many others wait" : strerror(-error));
    }
    r->n_waiting = r->n;
    return 0;
}

static int check_state(const Key *k, char **reterr_detail)
{
    if (k->state != KEY_BROKEN && k->state != KEY_REVOKED && k->state != KEY_OVERRIDDEN)
        return 0;
    return detail_set(reterr_detail, -EBUSY, "key %s is %s, so it is not offered to a target",
                      k->id, key_state_to_string(k->state));
}

int probe_round_start(Manager *m, const char *id, const ProbeTarget *target, ProbeRoundDone done,
                      void *userdata, ProbeRound **ret, char **reterr_detail)
{
    _cleanup_(probe_round_freep) ProbeRound *r = NULL;
    const Key *k = key_table_find(&m->keys, id);
    int error;

    if (!k)
        return detail_set(reterr_detail, -ENOENT, "no key has the id \"%s\"", id);
    error = check_state(k, reterr_detail);
    if (error < 0)
        return error;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->manager = m;
    strcpy(r->id, k->id);
    r->role = k->role;
    r->done = done;
    r->userdata = userdata;
    if (!target)
        error = add_controllers(r, m, k, reterr_detail);
    else if ((error = reserve(r, 1)) == 0)
        append(r, "", target);
    if (error == 0)
        error = start_all(r, m, k, reterr_detail);
    if (error == 0)
        *ret = TAKE_PTR(r);
    return error;
}
