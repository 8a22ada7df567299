/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/names.h"
#include "nvme-keyd/manager/manager-private.h"

static int unseal_record(const Key *k, void *userdata, Secret **ret_payload)
{
    const Manager *m = userdata;

    return store_unseal(vault_store(m->vault), k->id, ret_payload);
}

int manager_new(sd_event *event, const Config *config, const char *state_dir, Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(*m));

    if (!m || key_table_init(&m->keys) < 0)
        return -ENOMEM;
    m->config = *config;
    if (manager_new_vault(m, event, state_dir) < 0)
        return -ENOMEM;
    m->records = (KeySource){.unseal = unseal_record, .userdata = m, .is_persistent = true};
    /* Who does not read them does not know what they have no more. */
    m->incomplete = true;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    m->handler = NULL;
    vault_free(m->vault);
    key_table_done(&m->keys);
    ring_close(m->ring);
    ring_notices_done(&m->notices);
    manager_forget_problems(m);
    config_problems_done(&m->config_problems);
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
    if (config->stand_in != m->config.stand_in)
        m->ring = ring_close(m->ring);
    manager_forget_look(m);
    m->config = *config;
    manager_set_vault_rules(m);
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

int manager_publish_error(const Manager *m)
{
    return m->publish_error;
}

const KeyTable *manager_keys(const Manager *m)
{
    return &m->keys;
}

void manager_forget_serials(Manager *m)
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

/* For who looks at the whole ring: the link by which tlshd finds it is made, or made again. Without
 * it tlshd has what it links itself, and its state says whether that is the ring. */
static const Ring *shared_ring(Manager *m, int *ret_error)
{
    const Ring *ring = manager_ring(m, ret_error);

    if (ring)
        (void)!ring_share(ring);
    return ring;
}

int32_t manager_ring_serial(const Manager *m)
{
    return m->ring ? ring_serial(m->ring) : 0;
}

bool manager_look_tlshd(Manager *m, TlshdStatus *ret)
{
    const char *units = getenv(NAMES_ENV_RUNNING_UNITS);
    TlshdPlaces places = {units, manager_controllers(m)};

    if (!units && !m->config.stand_in)
        places.units = NAMES_RUNNING_UNITS;
    return m->ring && places.units &&
           tlshd_look(&places, ring_serial(m->ring), &m->tlshd, ret) == 0;
}

void manager_begin_list(Manager *m, KeyCursor *cursor)
{
    key_cursor_begin(cursor, &m->keys);
}

static bool kernel_asks(void)
{
    char enabled[4];

    return io_read_line(NAMES_LIVEPATCH_ENABLED, enabled, sizeof(enabled)) >= 0 &&
           strcmp(enabled, "1") == 0;
}

bool manager_kernel_is_exact(void)
{
    return kernel_asks() && (access(NAMES_LIVEPATCH_MATCH, F_OK) == 0 ||
                             access(NAMES_LIVEPATCH_MATCH_BUILT_IN, F_OK) == 0);
}

Provision manager_provision(const Manager *m)
{
    if (!m->config.on_demand)
        return PROVISION_RESIDENT;
    return m->config.on_demand_force || kernel_asks() ? PROVISION_ON_DEMAND : PROVISION_REFUSED;
}

unsigned manager_on_demand_sec(const Manager *m)
{
    return manager_provision(m) == PROVISION_ON_DEMAND ? m->config.on_demand_sec : 0;
}

unsigned manager_lifetime(const Manager *m, const Key *k)
{
    return key_lifetime(k, manager_on_demand_sec(m));
}

bool manager_lacks(const Manager *m, const Key *k)
{
    return key_is_missing(k, 0) && key_is_missing(k, manager_on_demand_sec(m));
}

static int resync(Manager *m, SyncResult *ret)
{
    const SyncOptions options = {.on_demand_sec = manager_on_demand_sec(m),
                                 .all_records = vault_store(m->vault),
                                 .all_credentials = !m->incomplete,
                                 .controllers = manager_controllers(m)};
    int r = 0;

    manager_update_deadline(m);
    manager_settle_credentials(m);
    for (int attempt = 0; attempt < 2; attempt++) {
        _cleanup_(ring_notices_done) RingNotices notices = {NULL, 0, 0};
        const Ring *ring = shared_ring(m, &r);

        if (!ring)
            return m->publish_error = r;
        *ret = (SyncResult){0};
        r = sync_all(ring, &m->keys, &options, &notices, ret);
        if (r == 0)
            ring_notices_replace(&m->notices, &notices);
        if (r == 0)
            r = ret->error;
        if (r == 0)
            m->on_demand_sec = options.on_demand_sec;
        /* nvme_keyring was unloaded; a new one may be there by now. */
        if (r != -EKEYREVOKED && r != -ENOKEY)
            break;
        m->ring = ring_close(m->ring);
        manager_forget_serials(m);
    }
    m->publish_error = r;
    return r;
}

int manager_resync(Manager *m, SyncResult *ret)
{
    int r = resync(m, ret);

    /* A ring comes with an event, and then the whole of it is made right. */
    m->unpublished = r < 0 && r != -ENOKEY;
    return r;
}

bool manager_has_unpublished(const Manager *m)
{
    return m->unpublished;
}

void manager_note_changes(Manager *m, const SyncResult *s)
{
    m->untold.added += s->added;
    m->untold.removed += s->removed;
}

void manager_take_changes(Manager *m, SyncResult *s)
{
    /* What was added before is right by now. */
    s->kept -= CONST_MIN(s->kept, m->untold.added);
    s->added += m->untold.added;
    s->removed += m->untold.removed;
    m->untold = (SyncResult){0};
}

/* The same as manager_resync(), where the result is nobody's. */
static int resync_unasked(Manager *m)
{
    SyncResult result = {0};
    int r = manager_resync(m, &result);

    manager_note_changes(m, &result);
    return r;
}

unsigned manager_own_versions(const Manager *m, const Key *k)
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

/* Publishes one key. When the ring turns out to be gone, the new one gets all keys. */
static int publish(Manager *m, Key *k)
{
    const Ring *ring;
    int r;

    manager_forget_look(m);
    ring = manager_ring(m, &r);
    if (!ring)
        return m->publish_error = r;
    r = sync_publish(ring, k, manager_own_versions(m, k), manager_on_demand_sec(m));
    if (r < 0)
        m->publish_error = r;
    if (r != -EKEYREVOKED && r != -ENOKEY)
        return r;
    r = resync_unasked(m);
    /* Of keys on demand that leaves the new one empty. */
    return r == 0 && manager_lifetime(m, k) > 0
               ? sync_publish(m->ring, k, manager_own_versions(m, k), m->on_demand_sec)
               : r;
}

int manager_publish(Manager *m, Key *k)
{
    int r = publish(m, k);

    m->unpublished |= r < 0 && r != -ENOKEY;
    return r;
}

int manager_publish_new(Manager *m, Key *k, const Key *replaced)
{
    bool wanted = manager_lifetime(m, k) == 0;
    int r;
    const Ring *ring = manager_ring(m, &r);

    for (unsigned v = 0; v < KEY_VERSIONS && ring && replaced; v++)
        wanted |= replaced->identities[v] && ring_look_up(ring, replaced->identities[v]);
    return wanted ? manager_publish(m, k) : 0;
}

/* Whether another key of the pair is to be in the ring under the same name. */
static bool shares_identity(const Manager *m, const Key *k, unsigned version)
{
    const Key *o = k->hostnqn ? key_table_pair(&m->keys, k->hostnqn, strlen(k->hostnqn),
                                               k->subsysnqn, strlen(k->subsysnqn))
                              : NULL;

    for (; o; o = o->next_of_pair)
        if (o != k && o->identities[version] && k->identities[version] &&
            strcmp(o->identities[version], k->identities[version]) == 0 &&
            key_is_publishable(o, now_realtime()))
            return true;
    return false;
}

int manager_withdraw(Manager *m, Key *k)
{
    unsigned sole = 0;

    manager_forget_look(m);
    for (unsigned v = 0; v < KEY_VERSIONS; v++)
        /* What others put under a name that we did not use is theirs. */
        if ((k->serials[v] || manager_lifetime(m, k) > 0) && !shares_identity(m, k, v))
            sole |= KEY_VERSION_BIT(v);
    return sync_withdraw(m->ring, k, sole);
}

bool manager_await_sync(Manager *m)
{
    SyncResult early = {0};

    /* Handed-in keys do not wait for a TPM. */
    if (!vault_store(m->vault) && !vault_is_opening(m->vault) && m->n_credentials > 0) {
        (void)!manager_resync(m, &early);
        manager_note_changes(m, &early);
    }
    return vault_await(m->vault);
}

int manager_publish_all(Manager *m, SyncResult *ret)
{
    int r;

    *ret = (SyncResult){0};
    if (!manager_await_sync(m))
        return 1;
    /* Without the store we know as well which keys are handed in no more. */
    r = manager_resync(m, ret);
    return r != -ENOMEM && vault_error(m->vault) < 0 ? vault_error(m->vault) : r;
}

int manager_sync(Manager *m, SyncResult *ret)
{
    int r = manager_publish_all(m, ret), settled;

    /* What could not be published may be what a retiring key still stands in for; without a ring
     * there is nothing to stand in. */
    if (!vault_store(m->vault) || r > 0 || (r < 0 && m->ring))
        return r;
    settled = manager_settle(m);
    return r < 0 ? r : settled;
}

int manager_hold(Manager *m)
{
    const Ring *ring;
    int r;

    if (manager_on_demand_sec(m) > 0)
        return 0;
    ring = shared_ring(m, &r);
    return ring ? sync_hold(ring) : r;
}

int manager_leave(Manager *m)
{
    SyncResult result;
    int r = 0, held = 0;

    if (manager_on_demand_sec(m) == 0)
        return 0;
    m->config.on_demand = false;
    if (vault_store(m->vault) || m->n_credentials > 0)
        r = manager_resync(m, &result);
    if (!vault_store(m->vault) || r < 0)
        held = manager_hold(m);
    return r < 0 ? r : held;
}

bool manager_is_stale(const Manager *m)
{
    return m->ring && manager_on_demand_sec(m) != m->on_demand_sec;
}

size_t manager_publish_pair(Manager *m, const Key *first)
{
    uint64_t now = now_realtime();
    size_t n = 0;

    /* The livepatch came or went. */
    if (manager_is_stale(m) && resync_unasked(m) == -ENOMEM)
        return 0;
    for (Key *k = (Key *)(uintptr_t)first; k; k = k->next_of_pair)
        if (key_is_publishable(k, now) && manager_publish(m, k) == 0)
            n++;
    return n;
}
