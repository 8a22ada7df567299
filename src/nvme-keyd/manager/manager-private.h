/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/detail.h"
#include "basic/limits.h"
#include "credstore/seal/ways.h"
#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/publish/controllers.h"
#include "nvme-keyd/vault/job.h"
#include "psk/limits.h"

/* What the files of the Manager share: manager.c (ring, time), manager-look.c (what readers see),
 * manager-store.c (opening), manager-trust.c (is it ours), manager-slots.c, manager-change.c (add,
 * rotate, remove), manager-import.c, manager-credentials.c. */

/* Opening the store is slow from here on: those who only want to know its state hear of it. */
#define MANAGER_SLOW_USEC USEC_PER_SEC

/* What a child process is at work for; one at a time. */
typedef enum ManagerTask {
    TASK_NONE,
    TASK_OPEN,
    TASK_CREATE,
    TASK_SEAL,
    TASK_COUNT,
} ManagerTask;

/* A slot to be sealed, and then the result, until the hook has been called. */
typedef struct SealOrder {
    char *type;
    char *replaces; /* the id of a slot, or NULL */
    char *with_key; /* what options.with_key points to, or NULL */
    char *bank;     /* the same for options.bank */
    SlotOptions options;
    uint32_t counter; /* to be removed instead, or 0 */
    Secret *slot;
    char *detail;
    int result;
} SealOrder;

struct Manager {
    Config config;
    ConfigProblems config_problems;
    const char *state_dir;
    Store *store;          /* open */
    char *store_detail;    /* why it is not */
    char *counters_unseen; /* why the TPM did not tell of counters of other stores, or NULL */
    bool config_refused;   /* the file with config_problems is not what is in force */
    bool refused;          /* a store is there that must not be opened */
    bool foreign;          /* because it is another one */
    int failed;            /* why it could not be opened */
    uint64_t retry_usec;   /* CLOCK_MONOTONIC, when that may be tried again */

    sd_event *event; /* borrowed */
    ManagerReadyFn on_ready;
    void *on_ready_userdata;
    json_object *passed_over; /* lines: what could have sealed the store, and why it has not */
    bool made;                /* the store is new, and nobody was told */
    bool starting;            /* a task, whose starter hears of its end at once */
    bool fresh;               /* the hook is being called: result is the answer to who asks again */
    int result;               /* of the last task */
    ManagerTask task;
    int task_error; /* of the slots so far */
    uint64_t task_start_usec;
    sd_event_source *slow_timer;
    size_t nth;      /* slot or type */
    Store *attached; /* being opened or made */
    Secret *found;   /* what opens it, while the TPM is asked for counters */
    Job *job;
    SealOrder order;
    uint64_t count_failed_usec; /* CLOCK_MONOTONIC, 0: it did not */

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

/* Keeps why the look for counters of other stores failed, if it did. */
void manager_note_counter_check(Manager *m, int error, const char *detail);

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

/* The store: opened, or for a change made at the first one. *reterr_detail as in manager.h. */
int manager_need_open(Manager *m, char **reterr_detail) _must_check_;
int manager_need_store(Manager *m, char **reterr_detail) _must_check_;
/* The same, but none is made where there is none. -EROFS for a copy. */
int manager_need_writable(Manager *m, char **reterr_detail) _must_check_;

/* Adds the record of a new key to a transaction, and sets its id. */
int manager_seal_new(StoreTransaction *t, Key *k, const Secret *payload) _must_check_;
/* Tells that a transaction failed. Returns what a Manager calls that. */
int manager_store_failed(int error, char **reterr_detail);

/* Opens the store, if there is one and it is not open. Returns 0 also when there is none yet,
 * -EINPROGRESS, or why it failed. */
int manager_open_store(Manager *m) _must_check_;
/* The same, and makes one if there is none. */
int manager_make_store(Manager *m) _must_check_;

/* What the configuration says about slots. */
SlotOptions manager_slot_options(const Manager *m);

/* What to tell people of a slot whose process said nothing, to be freed; NULL without memory. */
char *manager_explain(const char *type, int error);
/* Starts the work of a task, which may end before this returns. */
int manager_start_job(Manager *m, JobWork work, JobDone done) _must_check_;
/* The same with a time limit other than that of a slot. */
int manager_start_job_within(Manager *m, uint64_t limit_usec, JobWork work, JobDone done)
    _must_check_;
/* Ends a task and calls the hook. */
void manager_end_task(Manager *m, ManagerEvent event, int result);

void seal_order_done(SealOrder *order);

/* Those who wait are told when the caller, who may be a call like theirs, is done. */
void manager_tell_later(Manager *m);

/* Whether a store, or none (NULL), is the one that the configuration expects. Returns -EXDEV. */
int manager_check_store_id(const Manager *m, const Store *s, char **reterr_detail) _must_check_;
/* Asks the TPM whether it has the counter of another store than the attached one. Returns -ENOENT
 * where it need not be asked. */
int manager_start_counter_check(Manager *m, JobDone done) _must_check_;
/* What came of it, as done was told. Returns 0, or -EXDEV with a detail. */
int manager_check_counter(int error, const Secret *output, char **reterr_detail) _must_check_;
/* To be called when the rules for what may be opened have changed. */
void manager_distrust(Manager *m);
