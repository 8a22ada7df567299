/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/seal/limits.h"
#include "nvme-keyd/job/job.h"
#include "nvme-keyd/vault/limits.h"
#include "nvme-keyd/vault/vault.h"

/* Shared by the files of the Vault: vault.c (states and requests), open.c, create.c, restore.c,
 * trust.c (is it the right store), slots.c, counter.c. */

/* The top of vault.c has the transitions. */
typedef enum VaultState {
    VAULT_STATE_CLOSED,
    VAULT_STATE_OPENING,
    VAULT_STATE_CREATING,
    VAULT_STATE_OPEN,
} VaultState;

/* A request that waits for its turn, or is at work. */
typedef struct VaultRequest {
    char *type; /* of the slot to seal; NULL: remove a counter */
    char *replaces;
    char *with_key; /* owned; options.with_key points to it, or NULL */
    char *bank;     /* the same for options.bank */
    char *comment;  /* the same for options.comment */
    SlotOptions options;
    uint32_t counter;
    VaultDone done;
    void *userdata;
    STAILQ_ENTRY(VaultRequest) next;
} VaultRequest;

struct Vault {
    const char *state_dir;
    sd_event *event;
    VaultRules rules;
    VaultHandler handler;
    void *userdata;

    VaultState state;
    Store *store; /* open, or being opened or made */
    Job *job;

    int error; /* why the store is not open */
    char *detail;
    uint64_t retry_usec; /* CLOCK_MONOTONIC, no try before */
    bool refused;        /* this store must not be opened */
    bool foreign;        /* because it is not the expected one */
    int make_error;      /* these three: the same for making a store */
    char *make_detail;
    uint64_t make_retry_usec;
    char *counters_unseen;

    size_t nth;      /* index of the slot, or of the type, that is being tried */
    int slot_error;  /* of the slots or types before */
    bool skip_given; /* second try of the slot, see store_may_have_been_given() */
    Secret *found;   /* opens the store; kept while the TPM is asked for counters */
    Secret *kek;     /* the one that the job seals */
    Secret *slot;    /* the sealed one, while its counter is made */
    unsigned counter_tries;
    uint64_t start_usec;
    sd_event_source *slow;
    json_object *passed_over; /* lines: types that failed to seal the new store, and why */
    bool is_new;

    STAILQ_HEAD(VaultRequests, VaultRequest) requests; /* the first one may be at work */
    bool request_at_work;
    uint64_t count_failed_usec; /* CLOCK_MONOTONIC; 0: the last try succeeded */
};

static inline void vault_notify(Vault *v, VaultEvent event)
{
    v->handler(event, v->userdata);
}

/* The rules as options of a slot type. */
SlotOptions vault_slot_options(const Vault *v);

/* Starts a job in the place of the last one. Returns as job_start(). */
int vault_start_job(Vault *v, uint64_t limit_usec, const Secret *request, JobDone done)
    _must_check_;
/* Ends the last job of a chain and forgets its secrets. To be called before done or an event. */
void vault_end_job(Vault *v);
/* Starts the next request. To be called after vault_end_job(). */
void vault_run_next(Vault *v);

/* Enters VAULT_STATE_OPENING or VAULT_STATE_CREATING, and starts the timer of VAULT_SLOW. */
void vault_begin(Vault *v, VaultState state);
/* Closes the store; waiting requests end with -ECANCELED. */
void vault_close(Vault *v);
/* CLOCK_MONOTONIC; a try that failed now may be repeated then. */
uint64_t vault_retry_time(const Vault *v);

/* Appends a line about a slot that failed to detail, and keeps the error that says most. words: the
 * line, or NULL for one made of type and error. */
void vault_note_failure(Vault *v, char **detail, int error, const char *type, const char *words);
/* A line for people about a slot whose job gave an error without words, to be freed; NULL without
 * memory. */
char *vault_explain(const char *type, int error);

/* open.c: gets the key of an attached store by its recovery key. Returns as vault_unlock(). */
int vault_find_by_recovery(const Vault *v, const Store *s, const Secret *key, Secret **ret,
                           char **reterr_detail) _must_check_;

/* trust.c: whether a store, or none (NULL), is the one that the rules expect. Returns 0, or
 * -EXDEV. */
int vault_check_id(const Vault *v, const Store *s, char **reterr_detail) _must_check_;
/* Starts a job that asks the TPM for the counter of another store than the attached one. Returns 1,
 * or 0 where that is not needed, or an error. */
int vault_start_counter_check(Vault *v, JobDone done) _must_check_;
/* Judges the result of that job, which done got. Returns 0, or -EXDEV with a detail. */
int vault_end_counter_check(Vault *v, int error, const Secret *output, const char *detail,
                            char **reterr_detail) _must_check_;

/* slots.c: sets the detail for a store that is absent. Returns -ENOMEDIUM. */
int vault_no_store(char **reterr_detail);

/* slots.c, counter.c: start the first request. */
int vault_start_sealing(Vault *v, char **reterr_detail) _must_check_;
int vault_start_removing_counter(Vault *v, char **reterr_detail) _must_check_;

/* Queues a request, whose strings are copied. */
void vault_request(Vault *v, const SlotRequest *slot, uint32_t counter, VaultDone done,
                   void *userdata);
/* Ends the request at work. */
void vault_end_request(Vault *v, int error, const Secret *slot, const char *detail);
