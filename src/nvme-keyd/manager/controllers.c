/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/manager/controllers.h"
#include "nvme-keyd/manager/manager-private.h"

static const char *const use_names[KEY_USES] = {
    [KEY_USE_NONE] = "none",       [KEY_USE_ACTIVE] = "active",
    [KEY_USE_PENDING] = "pending", [KEY_USE_RETIRING] = "retiring",
    [KEY_USE_REVOKED] = "revoked", [KEY_USE_OLDER] = "older",
    [KEY_USE_PINNED] = "pinned",   [KEY_USE_GENERATED] = "generated",
    [KEY_USE_FOREIGN] = "foreign", [KEY_USE_UNKNOWN] = "unknown",
};

const char *key_use_to_string(KeyUse use)
{
    return use_names[use];
}

bool key_use_is_old(KeyUse use)
{
    return use == KEY_USE_PENDING || use == KEY_USE_RETIRING || use == KEY_USE_REVOKED ||
           use == KEY_USE_OLDER || use == KEY_USE_FOREIGN;
}

void key_in_use_done(const KeyInUse *u)
{
    free(u->identity);
}

/* A connection of this machine, at either end. */
typedef struct Connection {
    const char *hostnqn, *subsysnqn;
    int32_t serial;
    KeyRole role;
} Connection;

static KeyUse use_of(const Key *k)
{
    switch (k->state) {
    case KEY_ACTIVE:
        return KEY_USE_ACTIVE;
    case KEY_PENDING:
        return KEY_USE_PENDING;
    case KEY_RETIRING:
        return KEY_USE_RETIRING;
    case KEY_REVOKED:
        return KEY_USE_REVOKED;
    default:
        return KEY_USE_OLDER;
    }
}

/* Identities of version 0 are the same for all PSKs of a pair. */
static bool is_same_psk(const char *identity, const char *other)
{
    return other && strncmp(other, "NVMe1", 5) == 0 && strcmp(identity, other) == 0;
}

/* The first key of a pair with this serial, or of the same PSK, which another key of the kernel may
 * have held. One of the right role comes first. */
static const Key *find_key(const Key *first, const Connection *c, const char *identity)
{
    const Key *other = NULL;

    for (const Key *k = first; k; k = k->next_of_pair)
        for (unsigned v = 0; v < KEY_VERSIONS; v++) {
            if (!k->identities[v] ||
                (k->serials[v] != c->serial && !is_same_psk(k->identities[v], identity)))
                continue;
            if (k->role & c->role)
                return k;
            other = k;
        }
    return other;
}

static const Key *find_active(const Key *first)
{
    for (const Key *k = first; k; k = k->next_of_pair)
        if (k->state == KEY_ACTIVE && k->role & KEY_ROLE_HOST)
            return k;
    return NULL;
}

static const Key *pair_of(const Manager *m, const char *hostnqn, size_t hostnqn_length,
                          const char *subsysnqn, size_t subsysnqn_length)
{
    return key_table_pair(&m->keys, hostnqn, hostnqn_length, subsysnqn, subsysnqn_length);
}

/* What a key is that no record in the table has. */
static KeyUse use_without_record(const Manager *m, bool ours)
{
    if (vault_error(m->vault) < 0 || vault_is_opening(m->vault))
        return KEY_USE_UNKNOWN;
    return ours ? KEY_USE_OLDER : KEY_USE_FOREIGN;
}

/* The kernel still knows the key by its serial. */
static void judge_described(const Manager *m, const Connection *c, const RingKey *described,
                            KeyInUse *u)
{
    const char *text = described->description;
    PskIdentity identity;

    if (psk_identity_parse(text, strlen(text), &identity) == 0)
        u->key = find_key(pair_of(m, identity.hostnqn, identity.hostnqn_length, identity.subsysnqn,
                                  identity.subsysnqn_length),
                          c, text);
    if (u->key)
        u->use = use_of(u->key);
    else if (text_after(text, "NVMe0G") || text_after(text, "NVMe1G"))
        u->use = KEY_USE_GENERATED;
    else
        u->use = use_without_record(m, ring_key_is_ours(described));
}

/* Newer kernels let a key go while its connection lives, so that only its serial is left. */
static void judge_unknown(const Manager *m, const Connection *c, const Key *first, int error,
                          KeyInUse *u)
{
    u->key = find_key(first, c, NULL);
    if (u->key)
        u->use = use_of(u->key);
    else if (error == -EKEYREVOKED)
        u->use = KEY_USE_REVOKED;
    else
        u->use = use_without_record(m, first);
}

static int judge(const Manager *m, const Connection *c, KeyInUse *ret)
{
    const Key *first =
        pair_of(m, c->hostnqn, strlen(c->hostnqn), c->subsysnqn, strlen(c->subsysnqn));
    RingKey described = {.description = NULL};
    int error = 0, r = -ENOKEY;
    const Ring *ring;

    *ret = (KeyInUse){.use = KEY_USE_NONE, .active = find_active(first)};
    if (ret->active)
        ret->next = ret->active->serials[1] ? ret->active->serials[1] : ret->active->serials[0];
    ret->on_request =
        ret->active && !ret->next && publisher_lifetime(m->publisher, ret->active) > 0;
    if (c->serial == 0)
        return 0;
    ring = publisher_ring(m->publisher, &error);
    if (ring)
        r = ring_describe(ring, c->serial, &described);
    if (r == -ENOMEM)
        return r;
    if (r == 0)
        judge_described(m, c, &described, ret);
    else
        judge_unknown(m, c, first, r, ret);
    ret->identity = described.description;
    return 0;
}

int manager_judge_controller(const Manager *m, const Controller *c, KeyInUse *ret)
{
    int r = judge(m, &(Connection){c->hostnqn, c->subsysnqn, c->tls_key, KEY_ROLE_HOST}, ret);

    if (r < 0)
        return r;
    if (c->generates)
        ret->use = KEY_USE_GENERATED;
    else if (c->tls_configured_key != 0)
        ret->use = KEY_USE_PINNED;
    return 0;
}

int manager_judge_host(const Manager *m, const TargetHost *h, KeyInUse *ret)
{
    return judge(m, &(Connection){h->hostnqn, h->subsysnqn, h->tls_key, KEY_ROLE_TARGET}, ret);
}

int manager_read_controllers(const Manager *m, ControllerList *ret)
{
    const char *directory = publisher_controllers(m->publisher);

    *ret = (ControllerList){NULL, 0};
    return directory ? controllers_read(directory, ret) : 0;
}

int manager_read_hosts(const Manager *m, TargetHostList *ret)
{
    const char *directory = manager_system_path(m, NAMES_ENV_TARGET_HOSTS, NAMES_TARGET_HOSTS);

    *ret = (TargetHostList){NULL, 0};
    return directory ? target_hosts_read(directory, ret) : -ENOENT;
}

int manager_count_controllers(const Manager *m, ControllerCounts *ret)
{
    _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
    ControllerCounts counts = {.all = 0};
    int r = manager_read_controllers(m, &l);

    for (size_t i = 0; r == 0 && i < l.n; i++) {
        _cleanup_(key_in_use_done) KeyInUse u = {.use = KEY_USE_NONE};

        r = manager_judge_controller(m, &l.items[i], &u);
        counts.all++;
        counts.active += u.use == KEY_USE_ACTIVE;
        counts.old += key_use_is_old(u.use) && u.active;
        counts.stalled += stalls_has(manager_stalls(m), l.items[i].name);
    }
    if (r == 0)
        *ret = counts;
    return r;
}
