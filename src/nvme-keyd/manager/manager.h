/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/config/config.h"
#include "nvme-keyd/guard/guard.h"
#include "nvme-keyd/keys/key-make.h"
#include "nvme-keyd/publish/publisher.h"
#include "nvme-keyd/tlshd/tlshd.h"
#include "nvme-keyd/vault/vault.h"

/*
 * The keys, their lifetime, and the rules between them: what the ring should have. Every change is
 * sealed in the store first and then made in the ring.
 */
typedef struct Manager Manager;

/* Does not open the store yet. event, state_dir and events, which may be NULL, are borrowed. */
int manager_new(sd_event *event, const Config *config, const char *state_dir, Events *events,
                Manager **ret) _must_check_;
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

Vault *manager_vault(const Manager *m);
/* Same as vault_store(manager_vault(m)). */
const Store *manager_store(const Manager *m);
/* The events of manager_new(). */
Events *manager_events(const Manager *m);
/* See follow.h. */
typedef struct Follow Follow;
Follow *manager_follow(const Manager *m);

/* Calls handler after each event of the Vault, once the keys match the store. */
void manager_set_handler(Manager *m, VaultHandler handler, void *userdata);

/* Puts a new configuration in force. */
void manager_set_config(Manager *m, const Config *config);
const Config *manager_config(const Manager *m);

/* Sets the mistakes of the configuration, for replies to Status; takes the lines. refused: the
 * configuration was not put in force, and the one before still is. */
void manager_set_config_problems(Manager *m, ConfigProblems *problems, bool refused);
const ConfigProblems *manager_config_problems(const Manager *m);
bool manager_config_is_refused(const Manager *m);

/* Reads all credentials (handed/handed.h), replacing those read before. Handed-in keys live in
 * memory only and are never stored; a key of the store for the same pair overrides them while it
 * exists. The next manager_sync() publishes them. Problems are available from
 * manager_handed_problem(). Returns -ENOMEM. */
int manager_read_handed_in(Manager *m) _must_check_;

typedef struct HandedCounts {
    size_t keys;
    size_t overridden; /* of keys */
    size_t problems;   /* ignored lines and ignored whole credentials */
} HandedCounts;
HandedCounts manager_handed_in(const Manager *m);
/* The nth problem, from 0, as a line for people; NULL past the last, or past
 * HANDED_PROBLEMS_MAX. */
const char *manager_handed_problem(const Manager *m, size_t n);
/* Returns a handed-in key that has been overridden since the last call, or NULL. */
const Key *manager_next_overridden(Manager *m);

/* To be called before manager_add(): like vault_await(), or like vault_await_new() if the key would
 * be added, so that no store is made for a key that is refused. */
bool manager_await_add(Manager *m, const KeyRequest *request);
/* To be called before manager_sync(): like vault_await(), after publishing the handed-in keys. */
bool manager_await_sync(Manager *m);

/* The contents of an export of the store for a boot image. */
typedef struct ExportResult {
    size_t keys;
    size_t broken; /* of all keys: left out, because their subsystem is unknown */
} ExportResult;

/* Exports the current keys of some subsystems (an array of NQNs), or all keys for NULL (see
 * store.h). Returns -ENOENT if there is no key at all or none for an NQN, -EROFS, -ENOMEDIUM
 * without a store, -E2BIG, each with a detail; or -ENOMEM. */
int manager_export(Manager *m, json_object *subsysnqns, StoreExport **ret, ExportResult *ret_result,
                   char **reterr_detail) _must_check_;

/* Finds out whether tlshd has the ring, see tlshd_look(). Returns false if there is no ring, or if
 * it is one that no handshake uses. */
bool manager_look_tlshd(Manager *m, TlshdStatus *ret);

Publisher *manager_publisher(const Manager *m);
Guard *manager_guard(const Manager *m);

const KeyTable *manager_keys(const Manager *m);
/* Begins to list the keys, which may change meanwhile. To be ended by key_cursor_done(). */
void manager_begin_list(Manager *m, KeyCursor *cursor);

/* The following functions log nothing. *reterr_detail gets a line for people, to be freed. */

/* The end of an addition. error: 0 with the new key k, or -EEXIST (the active key k has this pair
 * and role) or -ENOTUNIQ (shadows k); and without a key -EINVAL, -ENODATA (this machine has no host
 * NQN), or an error of the store. detail: a line for people, or NULL. A key that was stored but
 * could not be published is a success; its serials show it. */
typedef void (*ManagerAdded)(int error, Key *k, const char *detail, void *userdata);

/* Adds an active key, which the next manager_commit() stores and publishes, overriding a handed-in
 * key for its pair. done is called once: by that commit, or, if the key is refused, before this
 * returns. Call manager_commit() before any other function of the Manager, and before the event
 * loop goes on. */
void manager_add(Manager *m, const KeyRequest *request, ManagerAdded done, void *userdata);
/* Commits the keys that were added, all or none: a failure is the error of each of them. Does
 * nothing without such keys. */
void manager_commit(Manager *m);
/* Commits, and then checks all that manager_add() checks before it needs the PSK. Returns its
 * errors; *reterr_other: the key in the way. */
int manager_check_add(Manager *m, const KeyRequest *request, Key **reterr_other,
                      char **reterr_detail) _must_check_;

/* Reconciles the ring with the known keys, and begins to open the store if it is not open. Does not
 * change the store. Returns 1 while the store is being opened (the ring has the handed-in keys at
 * most), -ENOKEY without a ring, or an error of the store. */
int manager_reconcile(Manager *m, ReconcileResult *ret) _must_check_;
/* Same, then takes the steps of keys that are due. */
int manager_sync(Manager *m, ReconcileResult *ret) _must_check_;

/* To be called before exiting: makes on-demand keys resident, because no service will answer
 * requests from then on, and a controller may still reconnect. Without a store, keys that are in
 * the ring stay. Returns 0, -ENOKEY without a ring, or the error of a key. */
int manager_leave(Manager *m);

/* The result of a look at ring and keys. */
typedef struct ManagerLook {
    const Ring *ring;       /* NULL where there is none */
    unsigned on_demand_sec; /* for key_lifetime() */
    size_t broken;
    size_t identities; /* wanted in the ring, now or when the kernel asks */
    size_t published;  /* of them */
    size_t expired;    /* keys whose lifetime is over */
    size_t missing;    /* keys that should be in the ring but are not */
    bool knows_ours;   /* true without a store, if ours could be counted */
    size_t ours;       /* keys in the ring that are marked as ours */
    bool has_tlshd;
    TlshdStatus tlshd; /* see manager_look_tlshd() */
} ManagerLook;

/* Calls publisher_refresh(), linear in the number of keys. Unless fresh is true, returns the result
 * of an earlier look while it is recent (LOOK_SHARED_USEC) and nothing was published or withdrawn
 * since. Valid until the next call. */
const ManagerLook *manager_look(Manager *m, bool fresh);

/* When manager_take_expired() has something to return, if keys do not change (CLOCK_REALTIME); 0
 * for never. That is a moment after the end of a lifetime, for those that end together. */
uint64_t manager_expiry(const Manager *m);
/* Returns the number of keys whose lifetime has ended since the last call, and the first n_max of
 * them in ret. */
size_t manager_take_expired(Manager *m, const Key **ret, size_t n_max);
/* True if the lifetime of a key is over, by its own end or by Config.max_age_usec. */
bool manager_has_expired(const Manager *m, const Key *k);

/* The earliest deadline of a step (CLOCK_REALTIME), even if past; 0 for none. */
uint64_t manager_deadline(const Manager *m);

/* When manager_sync() should be called for steps. */
typedef struct ManagerDue {
    uint64_t realtime_usec; /* at this time of the wall clock, 0 for never */
    uint64_t boottime_usec; /* at this uptime (CLOCK_BOOTTIME), 0 for never */
    bool overdue;           /* at once, or, if that has failed, a while later */
    size_t unsynchronized;  /* keys that are due as soon as the clock is synchronised */
} ManagerDue;
void manager_due(const Manager *m, ManagerDue *ret);
