/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "credstore/seal/helper.h"
#include "nvme-keyd/vault/vault-private.h"

/* The rollback counter: counted up after commits, and removed when no slot needs it. */

/* No second try sooner after one that failed. */
#define COUNT_RETRY_USEC (60 * USEC_PER_SEC)

static void end_and_notify(Vault *v)
{
    vault_end_job(v);
    vault_run_next(v);
    vault_notify(v, VAULT_COUNTED);
}

static void on_orphan_removed(int error, _unused_ const Secret *output, const char *detail,
                              void *userdata)
{
    Vault *v = userdata;

    if (error < 0)
        log_debug("rollback counter not removed: %s", detail ? detail : strerror(-error));
    if (store_forget_orphan(v->store, error) < 0)
        log_debug("the list of rollback counters to remove is not written yet");
    end_and_notify(v);
}

static void on_counted(int error, const Secret *output, const char *detail, void *userdata)
{
    Vault *v = userdata;

    if (error == 0)
        error = output ? store_counted(v->store, output) : -EBADMSG;
    v->count_failed_usec = error < 0 ? now_monotonic() : 0;
    free(v->detail);
    v->detail = error < 0 && detail ? strdup(detail) : NULL;
    end_and_notify(v);
}

static int start_removing_orphan(Vault *v)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = store_request_orphan(v->store, &request);

    return r < 0 ? r : vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_orphan_removed);
}

static int start_counting(Vault *v)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = store_request_count(v->store, &request);

    return r < 0 ? r : vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_counted);
}

void vault_count(Vault *v)
{
    if (!vault_store(v) || v->job)
        return;
    if (store_has_orphan(v->store)) {
        if (start_removing_orphan(v) < 0)
            log_debug("rollback counter not removed");
        return;
    }
    if (!store_counter_behind(v->store) ||
        (v->count_failed_usec > 0 && now_monotonic() - v->count_failed_usec < COUNT_RETRY_USEC))
        return;
    if (start_counting(v) < 0)
        v->count_failed_usec = now_monotonic();
}

bool vault_has_to_count(const Vault *v)
{
    return vault_store(v) && store_counter_behind(v->store);
}

static void on_counter_removed(int error, _unused_ const Secret *output, const char *detail,
                               void *userdata)
{
    Vault *v = userdata;
    _cleanup_(freep) char *words = error < 0 && !detail ? vault_explain("tpm2", error) : NULL;

    vault_end_request(v, error, NULL, detail ? detail : words);
    vault_end_job(v);
    /* Opening may have failed because of this counter, so it may be tried again at once. */
    v->retry_usec = v->make_retry_usec = 0;
    vault_run_next(v);
    vault_notify(v, VAULT_IDLE);
}

/* The store need not be open: its header names its counter. */
static bool is_own_counter(const Vault *v, uint32_t index)
{
    _cleanup_(store_closep) Store *attached = NULL;

    if (v->store)
        return store_may_use_counter(v->store, index);
    return store_attach(v->state_dir, &attached, NULL) == 0 &&
           store_may_use_counter(attached, index);
}

int vault_start_removing_counter(Vault *v, char **reterr_detail)
{
    const SealRequest q = {.work = SEAL_WORK_COUNTER_REMOVE_MARKED,
                           .counter.index = STAILQ_FIRST(&v->requests)->counter};
    _cleanup_(secret_freep) Secret *request = NULL;
    int r;

    if (is_own_counter(v, q.counter.index))
        return detail_set(reterr_detail, -EBUSY,
                          "the counter belongs to the store that is here, and is removed with its "
                          "last slot of type tpm2");
    r = seal_request_pack(&q, &request);
    return r < 0 ? r : vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_counter_removed);
}

void vault_remove_counter(Vault *v, uint32_t index, VaultDone done, void *userdata)
{
    vault_request(v, NULL, index, done, userdata);
}
