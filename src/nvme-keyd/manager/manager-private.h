/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/detail.h"
#include "basic/limits.h"
#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/publish/controllers.h"
#include "psk/limits.h"

/* What the files of the Manager share: manager.c (ring, time), look.c (what readers see), store.c
 * (keys of the store), change.c (add, rotate, remove), import.c, override.c. */

struct Manager {
    Config config;
    ConfigProblems config_problems;
    bool config_refused; /* the file with config_problems is not what is in force */

    Vault *vault;
    VaultHandler handler;
    void *userdata;

    Ring *ring;
    RingNotices notices; /* of the last look at the whole ring */
    TlshdMemory tlshd;
    int publish_error; /* why something could not be published at the last look, 0 for nothing */
    SyncResult untold; /* what has changed in the ring since somebody was told */
    ManagerLook look;
    uint64_t look_usec; /* CLOCK_MONOTONIC, until when it is good; 0: it is not */
    KeyTable keys;
    KeySource records;    /* of the keys that the store has */
    size_t n_credentials; /* of the keys: those that have no record */
    bool news;            /* one of them has been overridden */
    char **problems;      /* CREDENTIAL_PROBLEMS_MAX, NULL for none */
    size_t n_problems;
    bool incomplete; /* a credential or a line could not be read: what it had before is not known */
    bool unpublished;       /* the ring has refused a key, or kept one */
    unsigned on_demand_sec; /* as of the last look at the whole ring */
    uint64_t deadline_usec; /* the earliest of the retiring keys', 0 for none */
    ManagerDue due;         /* as of the last manager_update_deadline() */
};

/* Makes the ring right, opening it if need be. Frees no key. */
int manager_resync(Manager *m, SyncResult *ret) _must_check_;

/* Publishes what is not in the ring of one key. When the ring turns out to be gone, the new one
 * gets all keys. Frees no key. */
int manager_publish(Manager *m, Key *k);

/* The same for a key that has just been made, in the place of another or of none (NULL). One that
 * is published on demand is left out, unless the other is in the ring. */
int manager_publish_new(Manager *m, Key *k, const Key *replaced);

/* True where the kernel compares NQNs to their ends (kernel/README.md), so that no key shadows
 * another. */
bool manager_kernel_is_exact(void);

/* The directory for controllers_read(), or NULL where no controller uses the ring. */
const char *manager_controllers(const Manager *m);

/* What controllers and ring are like, looked at once for many keys. Starts as zeroes. */
typedef struct ManagerGuard {
    ControllerList controllers;
    RingList list;
    bool looked;
    int error;
} ManagerGuard;
void manager_guard_done(ManagerGuard *g);

/* The name of a controller that would be lost without a key of a host, in ret. Returns 1, 0 where
 * there is none, or an error of looking. */
int manager_needed_by(Manager *m, ManagerGuard *g, const Key *k, char ret[static 32]) _must_check_;

/* To be called when a key has been published: one that was held for a controller may be able to go
 * now, and on a host must not stay beside the new one. Frees no key. */
void manager_release_held(Manager *m);

/* Unlinks what is in the ring of one key. */
int manager_withdraw(Manager *m, Key *k);

/* To be called when the ring is gone, and with it all that was in it. */
void manager_forget_serials(Manager *m);

/* To be called when keys, or what the ring has of them, have changed: the next look is a new one.
 */
void manager_forget_look(Manager *m);

/* Lets go of retiring keys whose time is over: out of the ring, then out of the store. */
int manager_settle(Manager *m);

/* To be called when keys have come, gone or changed their deadline. */
void manager_update_deadline(Manager *m);

/* Sees which keys of credentials are overridden; to be called when the store's keys have changed.
 * The second one looks at one pair. What was published stays so. */
void manager_settle_credentials(Manager *m);
void manager_settle_pair(Manager *m, const char *hostnqn, const char *subsysnqn);

void manager_forget_problems(Manager *m);

/* Adds a new key to a transaction and, with the id that it gets there, to the table, which owns it
 * on success: nothing that can fail is left for after the commit. If the transaction fails,
 * key_table_remove() takes the key out. */
int manager_stage(Manager *m, StoreTransaction *t, Key *k, const Secret *payload) _must_check_;
/* Tells that a transaction failed. Returns what a Manager calls that. */
int manager_store_failed(int error, char **reterr_detail);

/* store.c */
int manager_new_vault(Manager *m, sd_event *event, const char *state_dir) _must_check_;
/* To be called when the configuration has changed. */
void manager_set_vault_rules(Manager *m);
