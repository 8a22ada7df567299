/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/detail.h"
#include "basic/limits.h"
#include "nvme-keyd/envelopes/records.h"
#include "nvme-keyd/envelopes/worker.h"
#include "nvme-keyd/manager/controllers.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/manager/transition.h"
#include "nvme-keyd/probe/prober.h"
#include "psk/limits.h"

/* Shared by the files of the Manager: manager.c (configuration, reconciling), look.c (state for
 * readers), store.c (keys of the store), transition.c (changes of keys that take effect together),
 * change.c (what changes share), adding.c (add), rotation.c (rotate, activate), ending.c (retire,
 * revoke, remove), retire.c (steps at their time), import.c, export.c, override.c (handed-in keys),
 * controllers.c and controller-watch.c (connections), machine.c (identity and issuers), take.c
 * (envelopes). */

/* See manager_watch_controllers(). */
typedef struct ControllerWatch {
    KeyUpdates updates;
    Stalls stalls;
    ControllerList seen;     /* the controllers and their keys as of the last look */
    ControllerCounts counts; /* of the same time as Manager.look, if counted is true */
    int counts_error;
    bool counted;
} ControllerWatch;

/* Steps that were taken and of which the first ones have been reported. */
typedef struct TakenSteps {
    TakenStep *items;
    size_t n, n_reported;
} TakenSteps;

/* Keys that were added and are not committed yet. */
typedef struct Addition Addition;
typedef struct Batch {
    Transition transition;
    Addition *additions;
    size_t n, n_max;
} Batch;

struct Manager {
    Config config;
    ConfigProblems config_problems;
    bool config_refused; /* config_problems are those of a file that was not put in force */

    Vault *vault;
    VaultHandler handler;
    void *userdata;

    Events *events; /* borrowed, or NULL */
    Publisher *publisher;
    Prober *prober;
    Guard *guard;
    Follow *follow;
    size_t n_following; /* pending keys that follow their target */
    TlshdMemory tlshd;
    ControllerWatch watch;
    ManagerLook look;
    uint64_t look_revision;
    uint64_t look_usec; /* CLOCK_MONOTONIC, until when look is valid; 0: it is not */
    KeyTable keys;
    Records fleet; /* records of the store that are no keys */
    Worker *worker;
    Batch batch;            /* empty between two calls */
    KeySource records;      /* source of the keys that the store has */
    size_t n_handed_in;     /* keys without a record: the handed-in ones */
    bool overrides_pending; /* a handed-in key has been overridden */
    char **problems;        /* HANDED_PROBLEMS_MAX, NULL for none */
    size_t n_problems;
    bool incomplete; /* a credential or line could not be read, so its previous keys are unknown */
    uint64_t expiry_usec;   /* when a key expires next, 0 for never */
    uint64_t deadline_usec; /* the earliest deadline of a step, 0 for none */
    ManagerDue due;         /* as of the last manager_update_deadline() */
    bool unconfirmed;       /* a retiring key stays until its successor has worked */
    bool plans_moved;       /* records of keys do not have their steps yet, see Key.moved */
    TakenSteps steps;
};

/* Reconciles the ring with the keys as they are now. Frees no key. */
int manager_reconcile_now(Manager *m, ReconcileResult *ret) _must_check_;
/* Passes on to the Publisher whether all keys are known. To be called when that may have changed.
 */
void manager_update_complete(Manager *m);

/* Invalidates the shared look. To be called when keys, or their presence in the ring, have changed.
 */
void manager_forget_look(Manager *m);

/* Makes the ring right for the pair of a key, after a change: adds first, then withdraws what the
 * pair should not have, unless something could not be added. payload: of new, or NULL. Frees no
 * key. Returns the first error; -ENOKEY without a ring. */
int manager_settle_pair(Manager *m, const Key *of, const Key *new, const Secret *payload)
    _must_check_;

/* Finds a key that may be changed. Returns -ENOENT, -EBUSY for a handed-in key, or as
 * vault_require_writable(), with a detail. */
int manager_find(const Manager *m, const char *id, Key **ret, char **reterr_detail) _must_check_;

/* True if k has the PSK of another key, in whatever derivation. payload: of the other key; NULL if
 * it cannot be unsealed, then only the digests are compared. */
bool manager_has_psk(const Key *k, const Key *other, const Secret *payload);

/* Returns -EINVAL with a detail if a revoked key of the pair has the PSK of a new key. */
int manager_check_revoked(const Manager *m, const Key *new, const Secret *payload,
                          char **reterr_detail) _must_check_;

/* True if only one of two keys of a pair may be active: they collide, or a rotation replaced one by
 * the other. A target may have both of the latter, such as two derivations of one PSK, but it was
 * told which of them comes after the other. */
bool manager_share_place(const Manager *m, const Key *a, const Key *b);

/* Returns -EADDRINUSE with a detail if a controller needs a key, -ENOTCONN if that cannot be found
 * out. */
int manager_check_needed(Manager *m, const Key *k, char **reterr_detail) _must_check_;
/* Returns -EBUSY with a detail if a target cannot have both keys, or sets a warning. */
int manager_check_cutover(const Rotation *q, const Key *old, const Key *new, char **ret_warning,
                          char **reterr_detail) _must_check_;

/* Returns the active key that stands in the place of a retiring one, or NULL. */
Key *manager_find_successor(Manager *m, const Key *k);

/* Returns -EBUSY with a detail if the state of a key is against an event. */
int manager_check_life(const Key *k, KeyEvent event, char **reterr_detail) _must_check_;

/* After a commit: manager_settle_pair(), and then the steps that are due. */
int manager_settle(Manager *m, const Key *of, const Key *new, const Secret *payload) _must_check_;

/* True if a host would have no active key of the pair without this one. */
bool manager_is_last(Manager *m, const Key *k);

/* Parts of a transition: activates k, with all that this displaces; revokes k, with all keys of its
 * pair that have the same PSK. */
int manager_switch(Transition *t, Key *k) _must_check_;
int manager_end_psk(Transition *t, Key *k) _must_check_;

/* Takes all steps that are due, in one commit, and then makes the ring right. */
int manager_take_steps(Manager *m);

/* Computes all deadlines again. To be called when keys have been added or removed, or have another
 * deadline. */
void manager_update_deadline(Manager *m);

/* Computes the next expiry again: of all keys, or with one more. */
void manager_update_expiry(Manager *m);
void manager_note_expiry(Manager *m, const Key *k);

/* Determines which handed-in keys are overridden; to be called when keys of the store have changed.
 * The second function looks at one pair only. Publishes and withdraws nothing. */
void manager_update_overrides(Manager *m);
void manager_update_overrides_of(Manager *m, const char *hostnqn, const char *subsysnqn);

void manager_forget_problems(Manager *m);

/* Adds a new key to a transaction and, with the id that it gets there, to the table, which owns it
 * on success, so that nothing after the commit can fail. If the transaction fails, remove the key
 * with key_table_remove(). After an error the transaction can go on without the key. */
int manager_stage(Manager *m, StoreTransaction *t, Key *k, const Secret *payload) _must_check_;
/* Sets the detail for a failed transaction and maps its error: to our callers -ENOENT means "no
 * such key", so errors of the store become -EIO. */
int manager_store_failed(int error, char **reterr_detail);

/* store.c */
int manager_new_vault(Manager *m, sd_event *event, const char *state_dir) _must_check_;
/* Passes a changed configuration on to the Vault. */
void manager_set_vault_rules(Manager *m);

/* controller-watch.c */
void controller_watch_done(ControllerWatch *w);
/* A path of the system, or that of an environment variable that tests set; NULL for none: the
 * stand-in keyring has no connections. */
const char *manager_system_path(const Manager *m, const char *variable, const char *path);
