/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/detail.h"
#include "basic/limits.h"
#include "nvme-keyd/manager/manager.h"
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

    Publisher *publisher;
    TlshdMemory tlshd;
    ManagerLook look;
    uint64_t look_revision;
    uint64_t look_usec; /* CLOCK_MONOTONIC, until when it is good; 0: it is not */
    KeyTable keys;
    KeySource records;      /* of the keys that the store has */
    size_t n_credentials;   /* of the keys: those that have no record */
    bool overrides_pending; /* one of them has been overridden */
    char **problems;        /* CREDENTIAL_PROBLEMS_MAX, NULL for none */
    size_t n_problems;
    bool incomplete; /* a credential or a line could not be read: what it had before is not known */
    uint64_t deadline_usec; /* the earliest of the retiring keys', 0 for none */
    ManagerDue due;         /* as of the last manager_update_deadline() */
};

/* Makes the whole ring right, for the keys as they are now. Frees no key. */
int manager_reconcile(Manager *m, SyncResult *ret) _must_check_;
/* Tells the Publisher whether all keys are known. To be called when that has changed. */
void manager_update_complete(Manager *m);

/* To be called when keys, or what the ring has of them, have changed: the next look is a new one.
 */
void manager_forget_look(Manager *m);

/* Drops retiring keys past their deadline: from the ring, then from the store in one commit. */
int manager_retire_due(Manager *m);

/* To be called when keys have come, gone or changed their deadline. */
void manager_update_deadline(Manager *m);

/* Finds out which handed-in keys are overridden; to be called when the store's keys have changed.
 * The second one looks at one pair. What was published stays so. */
void manager_update_overrides(Manager *m);
void manager_update_overrides_of(Manager *m, const char *hostnqn, const char *subsysnqn);

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
