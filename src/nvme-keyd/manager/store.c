/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd/manager/import.h"
#include "nvme-keyd/manager/manager-private.h"

/* The store as the Manager sees it: records become keys when the Vault has opened it, and changes
 * ask here whether they may write. */

static int load_record(const StoreRecord *record, void *userdata)
{
    Manager *m = userdata;
    _cleanup_(key_freep) Key *k = NULL;
    int r = record->error;

    if (r == 0 && (r = records_load(&m->fleet, record)) > 0)
        return 0;
    if (r == 0)
        r = key_from_meta(record->meta, record->meta_size, &k);
    if (r == -ENOMEM)
        return r;
    if (!k) {
        /* A broken record becomes a broken key, so that people see it. */
        k = calloc(1, sizeof(*k));
        if (!k)
            return -ENOMEM;
        k->state = KEY_BROKEN;
        k->error = r;
    }
    memcpy(k->id, record->id, sizeof(k->id));
    k->generation = record->generation;
    k->source = &m->records;
    r = key_table_insert(&m->keys, k);
    if (r == 0)
        k = NULL;
    return r;
}

static int load_keys(Manager *m)
{
    int r;

    /* A restored store has taken the place of an open one. */
    key_table_remove_all(&m->keys, false);
    records_done(&m->fleet);
    r = store_for_each(vault_store(m->vault), load_record, m);
    if (r < 0) {
        records_done(&m->fleet);
        key_table_remove_all(&m->keys, false);
    }
    manager_update_deadline(m);
    manager_update_expiry(m);
    manager_update_overrides(m);
    manager_update_complete(m);
    return r;
}

static void on_vault(VaultEvent event, void *userdata)
{
    Manager *m = userdata;
    int r = event == VAULT_OPENED ? load_keys(m) : 0;

    if (r < 0) {
        vault_fail(m->vault, r);
        event = VAULT_FAILED;
    }
    /* The Vault has closed the store, so its keys are gone. */
    if (event == VAULT_IDLE && !vault_store(m->vault)) {
        records_done(&m->fleet);
        key_table_remove_all(&m->keys, false);
        manager_update_overrides(m);
        manager_update_complete(m);
    }
    if (m->handler)
        m->handler(event, m->userdata);
}

static VaultRules rules_of(const Config *c)
{
    VaultRules rules = {.closed_ways = c->closed_ways,
                        .allow_null_key = c->allow_null_key,
                        .other_counters = c->other_counters,
                        .id_is_bad = strcmp(c->store_id, CONFIG_STORE_ID_BAD) == 0};

    _Static_assert(sizeof(rules.id) == CONFIG_STORE_ID_SIZE, "two sizes of one thing");
    if (!rules.id_is_bad)
        memcpy(rules.id, c->store_id, sizeof(rules.id));
    return rules;
}

int manager_new_vault(Manager *m, sd_event *event, const char *state_dir)
{
    VaultRules rules = rules_of(&m->config);

    return vault_new(event, state_dir, &rules, on_vault, m, &m->vault);
}

void manager_set_vault_rules(Manager *m)
{
    VaultRules rules = rules_of(&m->config);

    vault_set_rules(m->vault, &rules);
}

Vault *manager_vault(const Manager *m)
{
    return m->vault;
}

const Store *manager_store(const Manager *m)
{
    return vault_store(m->vault);
}

bool manager_await_add(Manager *m, const KeyRequest *request)
{
    _cleanup_(freep) char *detail = NULL;
    Key *other;

    if (!vault_await(m->vault))
        return false;
    return vault_store(m->vault) || request->dry_run ||
           manager_check_add(m, request, &other, &detail) < 0 || vault_await_new(m->vault);
}

bool manager_await_import(Manager *m, const ImportRequest *request)
{
    _cleanup_(freep) char *detail = NULL;
    ImportRequest q = *request;
    _cleanup_(import_result_done) ImportResult result = {.is_unchanged = NULL};
    _cleanup_(import_fault_done) ImportFault fault = {.n = 0};

    if (!vault_await(m->vault))
        return false;
    if (vault_store(m->vault) || q.common.dry_run)
        return true;
    q.common.dry_run = true;
    return manager_import(m, &q, &result, &fault, &detail) < 0 || result.added == 0 ||
           vault_await_new(m->vault);
}
