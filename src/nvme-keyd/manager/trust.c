/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/encoding.h"
#include "credstore/seal/tpm2/counter.h"
#include "nvme-keyd/manager/manager-private.h"
#include "nvme-keyd/vault/limits.h"

/*
 * Whether a store is the right one. Its files are authentic for whoever has its key, so that says
 * nothing about a store that somebody else has made and put in the place of ours. What does: its
 * id, where the configuration has it; the way by which it opens, where that was narrowed (ways.h);
 * and a TPM that has the rollback counter of another store, while this one has none.
 */

int manager_check_store_id(const Manager *m, const Store *s, char **reterr_detail)
{
    const char *expected = m->config.store_id;

    if (!expected[0] || (s && strcmp(store_identity(s), expected) == 0))
        return 0;
    if (strcmp(expected, CONFIG_STORE_ID_BAD) == 0)
        return detail_set(
            reterr_detail, -EXDEV,
            "Id= in nvme-keyd.conf is no id of a store (32 digits from 0 to f), so no "
            "store is opened");
    if (!s)
        return detail_set(
            reterr_detail, -EXDEV,
            "there is no store in %s, and Id= in nvme-keyd.conf expects store %s: put "
            "it back, or take Id= out to make a new one",
            m->state_dir, expected);
    return detail_set(reterr_detail, -EXDEV,
                      "it is another store: Id= in nvme-keyd.conf expects %s, and this is %s",
                      expected, store_identity(s));
}

bool manager_store_is_refused(const Manager *m)
{
    return !m->store && (m->refused || m->foreign);
}

bool manager_store_is_foreign(const Manager *m)
{
    return !m->store && m->foreign;
}

/* A TPM that does not answer is asked once. What OpenBy= has makes no difference: a store in the
 * place of ours opens by just what is allowed, a host key that is on the same disk for example. The
 * counter of ours tells then, in a TPM that opens nothing here any more. */
static bool is_counter_check_due(const Manager *m, const Store *s)
{
    return !m->config.store_id[0] && !m->config.other_counters && !store_has_counter(s) &&
           m->task_error != -ETIMEDOUT;
}

static int work_find_other(const void *userdata, Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;
    char identity[STORE_IDENTITY_SIZE];
    Tpm2CounterMark other;
    int r = 0;

    _Static_assert(STORE_IDENTITY_SIZE == TPM2_COUNTER_OWNER_SIZE, "two sizes of one thing");
    strcpy(identity, store_identity(m->attached));
    if (m->found)
        r = store_identify(m->attached, m->found, identity);
    if (r == 0)
        r = tpm2_counter_find_other(identity, &other, reterr_detail);
    if (r < 0)
        return r;
    *ret = secret_new_copy(&other, sizeof(other));
    return *ret ? 0 : -ENOMEM;
}

int manager_start_counter_check(Manager *m, JobDone done)
{
    if (!is_counter_check_due(m, m->attached))
        return -ENOENT;
    return manager_start_job_within(m, COUNTER_CHECK_TIMEOUT_USEC, work_find_other, done);
}

void manager_note_counter_check(Manager *m, int error, const char *detail)
{
    free(TAKE_PTR(m->counters_unseen));
    /* No counter, no TPM, or one that cannot have any. */
    if (error == 0 || error == -ENOENT || error == -ENODEV || error == -EOPNOTSUPP)
        return;
    m->counters_unseen = strdup(detail ? detail : strerror(-error));
}

const char *manager_counters_unseen(const Manager *m)
{
    return m->counters_unseen;
}

int manager_check_counter(int error, const Secret *output, char **reterr_detail)
{
    Tpm2CounterMark other;

    /* What a TPM does not tell is no reason to keep the keys back. */
    if (error < 0 || output->size != sizeof(other))
        return 0;
    memcpy(&other, output->data, sizeof(other));
    return detail_set(reterr_detail, -EXDEV,
                      "the TPM has the rollback counter 0x%x of another store, %.*s, which is not "
                      "here: if that one is gone for good, nvme-keyctl store forget 0x%x; if "
                      "both are right, OtherCounters=yes in nvme-keyd.conf",
                      other.index, STORE_IDENTITY_SIZE - 1, other.owner, other.index);
}

/* What is at work may have begun by the old rules. */
static void cancel_task(Manager *m)
{
    m->job = job_free(m->job);
    m->attached = store_close(m->attached);
    m->found = secret_free(m->found);
    seal_order_done(&m->order);
    m->task = TASK_NONE;
    manager_tell_later(m);
}

static bool may_stay_open(const Manager *m)
{
    return manager_check_store_id(m, m->store, NULL) == 0 && manager_is_unlocked_by_hand(m) &&
           !(m->config.closed_ways & WAY_RECOVERY);
}

void manager_distrust(Manager *m)
{
    if (m->task != TASK_NONE)
        cancel_task(m);
    m->failed = 0;
    if (m->store && !may_stay_open(m))
        manager_close(m);
}

static int work_remove_counter(const void *userdata, _unused_ Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;

    return tpm2_counter_remove_marked(m->order.counter, reterr_detail);
}

static void on_counter_removed(int error, _unused_ const Secret *output, const char *detail,
                               void *userdata)
{
    Manager *m = userdata;

    m->order.result = error;
    m->order.detail = detail ? strdup(detail) : error < 0 ? manager_explain("tpm2", error) : NULL;
    /* A store that waited for this is opened at once. */
    m->failed = 0;
    manager_end_task(m, MANAGER_SLOT_SEALED, error);
    if (m->event && m->task == TASK_NONE)
        seal_order_done(&m->order);
}

/* Whether it is that of the store here, open or not. */
static bool is_own_counter(const Manager *m, uint32_t index)
{
    _cleanup_(store_closep) Store *attached = NULL;

    if (m->store)
        return store_counter_index(m->store) == index;
    return store_attach(m->state_dir, &attached, NULL) == 0 &&
           store_counter_index(attached) == index;
}

int manager_remove_counter(Manager *m, uint32_t index, char **reterr_detail)
{
    int r;

    if (m->task != TASK_NONE)
        return -EINPROGRESS;
    if (!m->fresh || m->order.counter != index || index == 0) {
        if (is_own_counter(m, index))
            return detail_set(reterr_detail, -EBUSY,
                              "it is the counter of the store that is here; it goes with the last "
                              "slot of type tpm2");
        seal_order_done(&m->order);
        m->order.counter = index;
        m->task = TASK_SEAL;
        r = manager_start_job(m, work_remove_counter, on_counter_removed);
        if (r < 0)
            m->task = TASK_NONE;
        if (r < 0 || m->task != TASK_NONE)
            return r < 0 ? r : -EINPROGRESS;
    }
    r = m->order.result;
    if (r < 0)
        (void)detail_set(reterr_detail, r, "%s", m->order.detail ? m->order.detail : strerror(-r));
    seal_order_done(&m->order);
    return r;
}
