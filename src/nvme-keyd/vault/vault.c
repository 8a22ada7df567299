/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "credstore/seal/ways.h"
#include "nvme-keyd/vault/seal-job.h"
#include "nvme-keyd/vault/vault-private.h"

/*
 * The states, what moves the Vault from one to the next, and the event that follows:
 *
 *     closed ---- vault_await(), a store is there --------> opening
 *     closed ---- vault_await_new(), none is there -------> creating
 *     opening --- a slot gives the key -------------------> open      VAULT_OPENED
 *     opening --- no slot does, or the store is foreign --> closed    VAULT_FAILED
 *     creating -- the header is written ------------------> open      VAULT_CREATED
 *     creating -- no slot type seals, or the disk fails --> closed    VAULT_FAILED
 *     closed, opening -- vault_unlock() ------------------> open      VAULT_OPENED
 *     closed, opening, open -- vault_restore() -----------> open      VAULT_OPENED
 *     any ------- vault_set_rules() ----------------------> closed    VAULT_IDLE
 *     any ------- vault_fail() ---------------------------> closed
 *
 * A closed Vault is one of three: untried; failed, with an error, so vault_await() makes no other
 * try for a while; or refused, a failure that lasts until the rules change.
 *
 * One job runs at a time. Opening and creating are chains of jobs: one for each slot, and one that
 * asks the TPM for the counters of other stores. In the other states a job belongs to the first
 * request of the queue. When the queue is empty, a job may count up the rollback counter.
 */

/* No second try for a while after one that failed, longer if that one was slow, because clients
 * that ask again and again must not keep jobs and the TPM busy. */
#define RETRY_USEC USEC_PER_SEC
#define RETRY_SLOW_USEC (10 * USEC_PER_SEC)

#define SLOW_AGAIN_USEC (30 * USEC_PER_SEC)

int vault_new(sd_event *event, const char *state_dir, const VaultRules *rules, VaultHandler handler,
              void *userdata, Vault **ret)
{
    Vault *v = calloc(1, sizeof(*v));

    if (!v)
        return -ENOMEM;
    v->event = event;
    v->state_dir = state_dir;
    v->rules = *rules;
    v->handler = handler;
    v->userdata = userdata;
    STAILQ_INIT(&v->requests);
    *ret = v;
    return 0;
}

void vault_end_job(Vault *v)
{
    v->job = job_free(v->job);
    v->slow = sd_event_source_disable_unref(v->slow);
    v->kek = secret_free(v->kek);
    v->slot = secret_free(v->slot);
}

/* The request that was at work stays the first of the queue, so it starts again. */
static void stop(Vault *v)
{
    vault_end_job(v);
    v->found = secret_free(v->found);
    v->request_at_work = false;
}

void vault_close(Vault *v)
{
    stop(v);
    v->store = store_close(v->store);
    v->state = VAULT_STATE_CLOSED;
    while (!STAILQ_EMPTY(&v->requests))
        vault_end_request(v, -ECANCELED, NULL, "the store was closed meanwhile");
}

Vault *vault_free(Vault *v)
{
    if (!v)
        return NULL;
    vault_close(v);
    free(v->detail);
    free(v->make_detail);
    free(v->counters_unseen);
    json_object_put(v->passed_over);
    free(v);
    return NULL;
}

void vault_fail(Vault *v, int error)
{
    vault_close(v);
    v->error = error;
    v->retry_usec = vault_retry_time(v);
    free(v->detail);
    v->detail = strdup(strerror(-error));
}

static bool may_stay_open(const Vault *v)
{
    return vault_check_id(v, v->store, NULL) == 0 && vault_is_unlocked_by_hand(v) &&
           !(v->rules.closed_ways & WAY_RECOVERY);
}

void vault_set_rules(Vault *v, const VaultRules *rules)
{
    bool changed = v->rules.closed_ways != rules->closed_ways ||
                   v->rules.other_counters != rules->other_counters ||
                   v->rules.id_is_bad != rules->id_is_bad || strcmp(v->rules.id, rules->id) != 0;

    v->rules = *rules;
    if (!changed)
        return;
    v->retry_usec = v->make_retry_usec = 0;
    if (v->state == VAULT_STATE_OPEN && may_stay_open(v))
        stop(v); /* the job may have begun by the old rules */
    else
        vault_close(v);
    vault_run_next(v);
    vault_notify(v, VAULT_IDLE);
}

SlotOptions vault_slot_options(const Vault *v)
{
    return (SlotOptions){.allow_null_key = v->rules.allow_null_key,
                         .closed_ways = v->rules.closed_ways};
}

char *vault_explain(const char *type, int error)
{
    char *words = NULL;

    (void)detail_set(&words, error, "%s: %s", type,
                     error == -ETIMEDOUT ? "did not answer in time"
                     : error == -ECHILD  ? "its process has died"
                                         : strerror(-error));
    return words;
}

void vault_note_failure(Vault *v, char **detail, int error, const char *type, const char *words)
{
    _cleanup_(freep) char *own = words ? NULL : vault_explain(type, error);

    if (error == -ENOMEM || error == -ETIMEDOUT || v->slot_error == 0)
        v->slot_error = error;
    if (error == -EXDEV)
        v->refused = true;
    if (words || own)
        detail_append(detail, words ? words : own);
}

int vault_start_job(Vault *v, uint64_t limit_usec, const Secret *request, JobDone done)
{
    v->job = job_free(v->job);
    return seal_job_start(v->event, limit_usec, request, done, v, &v->job);
}

/* Repeated, because each event extends the start-up time at the service manager. */
static int on_slow(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    if (sd_event_source_set_time_relative(source, SLOW_AGAIN_USEC) >= 0)
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    vault_notify(userdata, VAULT_SLOW);
    return 0;
}

void vault_begin(Vault *v, VaultState state)
{
    v->state = state;
    v->nth = 0;
    v->skip_given = false;
    v->slot_error = 0;
    v->start_usec = now_monotonic();
    v->refused = v->foreign = false;
    /* Without the timer a call of Status waits until the end, no worse, so a failure is ignored. */
    (void)sd_event_add_time_relative(v->event, &v->slow, CLOCK_MONOTONIC, VAULT_SLOW_USEC, 0,
                                     on_slow, v);
}

uint64_t vault_retry_time(const Vault *v)
{
    uint64_t now = now_monotonic();

    return now + (now - v->start_usec > VAULT_SLOW_USEC ? RETRY_SLOW_USEC : RETRY_USEC);
}

static void request_free(VaultRequest *q)
{
    free(q->type);
    free(q->replaces);
    free(q->with_key);
    free(q->bank);
    free(q->comment);
    free(q);
}

/* Returns false without memory for it. */
static bool copy_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return *ret || !text;
}

void vault_request(Vault *v, const SlotRequest *slot, uint32_t counter, VaultDone done,
                   void *userdata)
{
    static const SlotRequest none = {.type = NULL};
    VaultRequest *q = calloc(1, sizeof(*q));

    if (!slot)
        slot = &none;
    if (q && copy_text(&q->type, slot->type) && copy_text(&q->replaces, slot->replaces) &&
        copy_text(&q->with_key, slot->options.with_key) &&
        copy_text(&q->bank, slot->options.bank) && copy_text(&q->comment, slot->options.comment)) {
        q->options = slot->options;
        q->options.with_key = q->with_key;
        q->options.bank = q->bank;
        q->options.comment = q->comment;
        q->counter = counter;
        q->done = done;
        q->userdata = userdata;
        STAILQ_INSERT_TAIL(&v->requests, q, next);
        vault_run_next(v);
        return;
    }
    if (q)
        request_free(q);
    done(-ENOMEM, NULL, NULL, userdata);
}

void vault_end_request(Vault *v, int error, const Secret *slot, const char *detail)
{
    VaultRequest *q = STAILQ_FIRST(&v->requests);

    STAILQ_REMOVE_HEAD(&v->requests, next);
    v->request_at_work = false;
    q->done(error, slot, detail, q->userdata);
    request_free(q);
}

void vault_run_next(Vault *v)
{
    const VaultRequest *q;

    while (!v->job && !vault_is_opening(v) && (q = STAILQ_FIRST(&v->requests))) {
        _cleanup_(freep) char *detail = NULL;
        int r =
            q->type ? vault_start_sealing(v, &detail) : vault_start_removing_counter(v, &detail);

        v->request_at_work = r == 0;
        if (r < 0)
            vault_end_request(v, r, NULL, detail);
    }
}

int vault_error(const Vault *v)
{
    return vault_is_opening(v) ? -EBUSY : v->state == VAULT_STATE_OPEN ? 0 : v->error;
}

const char *vault_detail(const Vault *v)
{
    return v->detail;
}

static int make_error(const Vault *v)
{
    return v->make_error;
}

const char *vault_make_detail(const Vault *v)
{
    return v->make_detail;
}

Store *vault_store(const Vault *v)
{
    return v->state == VAULT_STATE_OPEN ? v->store : NULL;
}

bool vault_is_opening(const Vault *v)
{
    return v->state == VAULT_STATE_OPENING || v->state == VAULT_STATE_CREATING;
}

bool vault_is_slow(const Vault *v)
{
    return vault_is_opening(v) && now_monotonic() - v->start_usec >= VAULT_SLOW_USEC;
}

bool vault_is_working(const Vault *v)
{
    return v->job;
}

/* -ENOENT is "no such key" or "no such slot" to callers, so an error of the store becomes -EIO. */
static int not_open(int error, const char *detail, char **reterr_detail)
{
    return detail_set(reterr_detail, error == -ENOMEM ? error : -EIO, "%s",
                      detail ? detail : strerror(-error));
}

int vault_require_open(const Vault *v, char **reterr_detail)
{
    int r = vault_error(v);

    return r < 0 ? not_open(r, vault_detail(v), reterr_detail) : 0;
}

int vault_require_writable(const Vault *v, char **reterr_detail)
{
    int r = vault_require_open(v, reterr_detail);

    if (r == 0 && vault_store(v) && store_is_export(vault_store(v)))
        return detail_set(reterr_detail, -EROFS,
                          "the store of a boot image is an export that cannot be changed");
    return r;
}

int vault_require_store(const Vault *v, char **reterr_detail)
{
    int r = vault_require_writable(v, reterr_detail);

    if (r < 0 || vault_store(v))
        return r;
    r = make_error(v);
    return not_open(r < 0 ? r : -ENOMEDIUM, vault_make_detail(v), reterr_detail);
}
