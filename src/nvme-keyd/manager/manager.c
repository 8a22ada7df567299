/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/manager/follow.h"
#include "nvme-keyd/manager/manager-private.h"

static int unseal_record(const Key *k, void *userdata, Secret **ret_payload)
{
    const Manager *m = userdata;

    return store_unseal(vault_store(m->vault), k->id, ret_payload);
}

static PublisherRules publisher_rules_of(const Config *c)
{
    return (PublisherRules){.stand_in = c->stand_in,
                            .on_demand = c->on_demand,
                            .on_demand_force = c->on_demand_force,
                            .on_demand_sec = c->on_demand_sec,
                            .displace_foreign = c->displace_foreign};
}

static void set_publisher_rules(Manager *m)
{
    const PublisherRules rules = publisher_rules_of(&m->config);

    publisher_set_rules(m->publisher, &rules);
}

int manager_new(sd_event *event, const Config *config, const char *state_dir, Events *events,
                Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));
    const char *probe = getenv(NAMES_ENV_PROBE);
    PublisherRules rules;

    if (!m || key_table_init(&m->keys) < 0)
        return -ENOMEM;
    m->config = *config;
    m->events = events;
    rules = publisher_rules_of(config);
    if (manager_new_vault(m, event, state_dir) < 0 ||
        publisher_new(&rules, &m->keys, events, &m->publisher) < 0 ||
        prober_new(event, probe ? probe : NAMES_PROBE_SOCKET, &m->prober) < 0 ||
        guard_new(event, m->publisher, &m->guard) < 0 || follow_new(event, m, &m->follow) < 0 ||
        worker_new(event, &m->worker) < 0)
        return -ENOMEM;
    m->batch.transition.m = m;
    m->records = (KeySource){.unseal = unseal_record, .userdata = m, .is_persistent = true};
    /* Until credentials have been read we cannot tell which of their keys are gone. */
    m->incomplete = true;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    m->handler = NULL;
    follow_free(m->follow);
    worker_free(m->worker);
    prober_free(m->prober);
    vault_free(m->vault);
    records_done(&m->fleet);
    key_table_done(&m->keys);
    guard_free(m->guard);
    publisher_free(m->publisher);
    controller_watch_done(&m->watch);
    manager_forget_problems(m);
    config_problems_done(&m->config_problems);
    free(m->steps.items);
    free(m);
    return NULL;
}

void manager_set_handler(Manager *m, VaultHandler handler, void *userdata)
{
    m->handler = handler;
    m->userdata = userdata;
}

void manager_set_config(Manager *m, const Config *config)
{
    manager_forget_look(m);
    m->config = *config;
    manager_set_vault_rules(m);
    set_publisher_rules(m);
    manager_update_expiry(m);
}

const Config *manager_config(const Manager *m)
{
    return &m->config;
}

void manager_set_config_problems(Manager *m, ConfigProblems *problems, bool refused)
{
    config_problems_done(&m->config_problems);
    m->config_problems = *problems;
    m->config_refused = refused;
    *problems = (ConfigProblems){.n = 0};
}

const ConfigProblems *manager_config_problems(const Manager *m)
{
    return &m->config_problems;
}

bool manager_config_is_refused(const Manager *m)
{
    return m->config_refused;
}

Follow *manager_follow(const Manager *m)
{
    return m->follow;
}

Events *manager_events(const Manager *m)
{
    return m->events;
}

const KeyTable *manager_keys(const Manager *m)
{
    return &m->keys;
}

bool manager_look_tlshd(Manager *m, TlshdStatus *ret)
{
    const char *units = getenv(NAMES_ENV_RUNNING_UNITS);
    TlshdPlaces places = {units, publisher_controllers(m->publisher)};

    if (!units && !m->config.stand_in)
        places.units = NAMES_RUNNING_UNITS;
    return publisher_ring_serial(m->publisher) && places.units &&
           tlshd_look(&places, publisher_ring_serial(m->publisher), &m->tlshd, ret) == 0;
}

void manager_begin_list(Manager *m, KeyCursor *cursor)
{
    key_cursor_begin(cursor, &m->keys);
}

void manager_update_complete(Manager *m)
{
    publisher_set_complete(m->publisher, vault_store(m->vault), !m->incomplete);
}

int manager_reconcile_now(Manager *m, ReconcileResult *ret)
{
    manager_update_deadline(m);
    manager_update_overrides(m);
    manager_update_complete(m);
    return publisher_reconcile(m->publisher, ret);
}

Publisher *manager_publisher(const Manager *m)
{
    return m->publisher;
}

Guard *manager_guard(const Manager *m)
{
    return m->guard;
}

bool manager_await_sync(Manager *m)
{
    ReconcileResult early = {0};

    /* Handed-in keys do not wait for a TPM. */
    if (!vault_store(m->vault) && !vault_is_opening(m->vault) && m->n_handed_in > 0) {
        (void)!manager_reconcile_now(m, &early);
        publisher_note_changes(m->publisher, &early);
    }
    return vault_await(m->vault);
}

int manager_reconcile(Manager *m, ReconcileResult *ret)
{
    int r;

    *ret = (ReconcileResult){0};
    if (!manager_await_sync(m))
        return 1;
    /* Even without the store, handed-in keys that are gone can be withdrawn. */
    r = manager_reconcile_now(m, ret);
    return r != -ENOMEM && vault_error(m->vault) < 0 ? vault_error(m->vault) : r;
}

int manager_sync(Manager *m, ReconcileResult *ret)
{
    int r = manager_reconcile(m, ret), settled;

    /* A retiring key may cover for a key that could not be published. Without a ring there is
     * nothing to cover. */
    if (!vault_store(m->vault) || r > 0 || (r < 0 && publisher_ring_serial(m->publisher)))
        return r;
    settled = manager_take_steps(m);
    return r < 0 ? r : settled;
}

int manager_leave(Manager *m)
{
    ReconcileResult result;
    int r = 0, held = 0;

    if (publisher_on_demand_sec(m->publisher) == 0)
        return 0;
    m->config.on_demand = false;
    set_publisher_rules(m);
    if (vault_store(m->vault) || m->n_handed_in > 0)
        r = manager_reconcile_now(m, &result);
    if (!vault_store(m->vault) || r < 0)
        held = publisher_keep(m->publisher);
    return r < 0 ? r : held;
}
