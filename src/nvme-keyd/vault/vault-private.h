/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/seal/limits.h"
#include "nvme-keyd/vault/job.h"
#include "nvme-keyd/vault/limits.h"
#include "nvme-keyd/vault/vault.h"

/* What the files of the Vault share: vault.c (states), open.c, create.c, trust.c (is it ours),
 * slots.c, counter.c. */

/* The model is in vault.c. */
typedef enum VaultState {
    VAULT_STATE_CLOSED,
    VAULT_STATE_OPENING,
    VAULT_STATE_CREATING,
    VAULT_STATE_OPEN,
} VaultState;

/* What waits for its turn, or is at work. */
typedef struct VaultRequest {
    char *type; /* of a slot; NULL: a counter is to be removed */
    char *replaces;
    char *with_key; /* what options.with_key points to, or NULL */
    char *bank;     /* the same for options.bank */
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

    int error; /* why it is not open */
    char *detail;
    uint64_t retry_usec; /* CLOCK_MONOTONIC, when that may be tried again */
    bool refused;        /* it must not be opened */
    bool foreign;        /* because it is another one */
    int make_error;      /* the same for one that was to be made */
    char *make_detail;
    uint64_t make_retry_usec;
    char *counters_unseen;

    size_t nth;      /* slot or type that is being tried */
    int slot_error;  /* of those before */
    bool skip_given; /* its second try, see store_may_have_been_given() */
    Secret *found;   /* what opens the store, while the TPM is asked for counters */
    Secret *kek;     /* being sealed */
    Secret *slot;    /* sealed, while its counter is made */
    uint64_t start_usec;
    sd_event_source *slow;
    json_object *passed_over; /* lines: what could have sealed the store, and why it has not */
    bool is_new;

    STAILQ_HEAD(VaultRequests, VaultRequest) requests; /* the first may be at work */
    bool request_at_work;
    uint64_t count_failed_usec; /* CLOCK_MONOTONIC, 0: it did not */
};

static inline void vault_tell(Vault *v, VaultEvent event)
{
    v->handler(event, v->userdata);
}

/* What the rules say about slots. */
SlotOptions vault_slot_options(const Vault *v);

/* Starts the next piece of work. */
int vault_start_job(Vault *v, uint64_t limit_usec, const Secret *request, JobDone done)
    _must_check_;
/* To be called where a piece of work is the last one, before its end is told. */
void vault_end_job(Vault *v);
/* To be called after that: whoever waits for a turn has it. */
void vault_run_next(Vault *v);

/* Begins to open or to make the store. */
void vault_begin(Vault *v, VaultState state);
/* A try that failed is not repeated before the time that this returns. */
uint64_t vault_retry_time(const Vault *v);

/* Notes that a slot failed; type: for an error without words. */
void vault_note_failure(Vault *v, char **detail, int error, const char *type, const char *words);
/* A line for people about a slot whose process said nothing, to be freed; NULL without memory. */
char *vault_explain(const char *type, int error);

/* open.c: opens the attached store with what was found. Returns as store_unlock(), -EXDEV. */
int vault_open_with(Vault *v, const Secret *found, char **reterr_detail) _must_check_;

/* trust.c: whether a store, or none (NULL), is the one that the rules expect. Returns -EXDEV. */
int vault_check_id(const Vault *v, const Store *s, char **reterr_detail) _must_check_;
/* Asks the TPM whether it has the counter of another store than the attached one. Returns 1, 0
 * where it need not be asked, or an error. */
int vault_start_counter_check(Vault *v, JobDone done) _must_check_;
/* What came of it, as done was told. Returns 0, or -EXDEV with a detail. */
int vault_end_counter_check(Vault *v, int error, const Secret *output, const char *detail,
                            char **reterr_detail) _must_check_;

/* slots.c, counter.c: start what the first request wants. */
int vault_start_sealing(Vault *v, char **reterr_detail) _must_check_;
int vault_start_removing_counter(Vault *v, char **reterr_detail) _must_check_;

/* Queues a request, whose strings are copied. */
void vault_request(Vault *v, const SlotRequest *slot, uint32_t counter, VaultDone done,
                   void *userdata);
/* Ends the request at work. */
void vault_end_request(Vault *v, int error, const Secret *slot, const char *detail);
