/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "credstore/seal/limits.h"
#include "nvme-keyd/manager/manager-private.h"

/* Slots of the store. Sealing one is slow; adding what was sealed is a commit like any other. */

void seal_order_done(SealOrder *order)
{
    free(order->type);
    free(order->replaces);
    free(order->with_key);
    free(order->bank);
    free(order->detail);
    secret_free(order->slot);
    *order = (SealOrder){.result = 0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Whether what was sealed is what this request wants. */
static bool order_serves(const SealOrder *order, const SlotRequest *q)
{
    return order->type && strcmp(order->type, q->type) == 0 &&
           same_text(order->replaces, q->replaces) &&
           same_text(order->options.with_key, q->options.with_key) &&
           order->options.pcrs_given == q->options.pcrs_given &&
           order->options.pcrs == q->options.pcrs &&
           same_text(order->options.bank, q->options.bank) &&
           order->options.bank_kept == q->options.bank_kept &&
           order->options.rollback_counter == q->options.rollback_counter &&
           order->options.new_tpm == q->options.new_tpm;
}

static int place_order(Manager *m, const SlotRequest *q)
{
    SealOrder *order = &m->order;

    seal_order_done(order);
    order->type = strdup(q->type);
    order->replaces = q->replaces ? strdup(q->replaces) : NULL;
    order->with_key = q->options.with_key ? strdup(q->options.with_key) : NULL;
    order->bank = q->options.bank ? strdup(q->options.bank) : NULL;
    if (!order->type || (q->replaces && !order->replaces) ||
        (q->options.with_key && !order->with_key) || (q->options.bank && !order->bank)) {
        seal_order_done(order);
        return -ENOMEM;
    }
    order->options = q->options;
    order->options.with_key = order->with_key;
    order->options.bank = order->bank;
    order->options.allow_null_key = m->config.allow_null_key;
    order->options.closed_ways = m->config.closed_ways;
    return 0;
}

static int work_seal(const void *userdata, Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;
    _cleanup_(secret_freep) Secret *recovery_key = NULL;

    return store_seal_slot(m->store, m->order.type, m->order.replaces, &m->order.options, ret,
                           &recovery_key, reterr_detail);
}

static void on_sealed(int error, const Secret *output, const char *detail, void *userdata)
{
    Manager *m = userdata;

    m->order.result = error;
    m->order.detail = detail      ? strdup(detail)
                      : error < 0 ? manager_explain(m->order.type, error)
                                  : NULL;
    if (error == 0) {
        m->order.slot = secret_new_copy(output->data, output->size);
        if (!m->order.slot)
            m->order.result = -ENOMEM;
    }
    manager_end_task(m, MANAGER_SLOT_SEALED, error);
    /* Who asked for it may have gone; nobody else is to get it later. */
    if (m->event && m->task == TASK_NONE) {
        if (m->order.slot)
            store_drop_slot(m->store, m->order.slot);
        seal_order_done(&m->order);
    }
}

static int start_sealing(Manager *m, const SlotRequest *q)
{
    int r = place_order(m, q);

    if (r < 0)
        return r;
    m->task = TASK_SEAL;
    r = manager_start_job(m, work_seal, on_sealed);
    if (r < 0)
        m->task = TASK_NONE;
    if (r == 0 && m->task != TASK_NONE)
        return -EINPROGRESS;
    return r;
}

static int too_many(char **reterr_detail)
{
    return detail_set(reterr_detail, -E2BIG, "a store has at most %d slots: remove one",
                      STORE_SLOTS_MAX);
}

static int put_slot(Manager *m, const Secret *slot, SealedSlot *ret, char **reterr_detail)
{
    int r;

    ret->new_tpm = store_is_new_tpm(m->store, slot);
    r = store_put_slot(m->store, slot, ret->id);
    if (r == -E2BIG)
        return too_many(reterr_detail);
    if (r < 0 && r != -ENOMEM)
        return detail_set(reterr_detail, -EIO, "cannot write the store: %s", strerror(-r));
    return r;
}

/* A recovery key waits for nobody. */
static int seal_recovery(Manager *m, const SlotRequest *q, SealedSlot *ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *slot = NULL, *key = NULL;
    SlotOptions options = manager_slot_options(m);
    int r = store_seal_slot(m->store, q->type, q->replaces, &options, &slot, &key, reterr_detail);

    if (r == 0)
        r = put_slot(m, slot, ret, reterr_detail);
    if (r == 0)
        ret->recovery_key = TAKE_PTR(key);
    return r;
}

static int no_store(char **reterr_detail)
{
    return detail_set(reterr_detail, -ENOMEDIUM, "there is no store yet");
}

static int no_such_slot(const char *id, char **reterr_detail)
{
    return detail_set(reterr_detail, -ENOENT, "no slot has the id \"%s\"", id);
}

int manager_seal_slot(Manager *m, const SlotRequest *request, SealedSlot *ret, char **reterr_detail)
{
    SealOrder *order = &m->order;
    int r;

    /* No store is made for what cannot be a slot of it. */
    if (!store_has_slot_type(request->type))
        return detail_set(reterr_detail, -EINVAL, "there are no slots of type \"%s\"",
                          request->type);
    r = manager_need_store(m, reterr_detail);
    if (r < 0)
        return r;
    if (request->replaces && !store_find_slot(m->store, request->replaces))
        return no_such_slot(request->replaces, reterr_detail);
    if (!request->replaces && json_object_array_length(store_slots(m->store)) >= STORE_SLOTS_MAX)
        return too_many(reterr_detail);
    if (strcmp(request->type, "recovery") == 0)
        return seal_recovery(m, request, ret, reterr_detail);
    if (m->task != TASK_NONE)
        return -EINPROGRESS;
    if (!m->fresh || !order_serves(order, request)) {
        r = start_sealing(m, request);
        if (r < 0)
            return r;
    }

    r = order->result;
    if (r < 0)
        (void)detail_set(reterr_detail, r, "%s", order->detail ? order->detail : strerror(-r));
    else
        r = put_slot(m, order->slot, ret, reterr_detail);
    seal_order_done(order);
    return r;
}

int manager_remove_slot(Manager *m, const char *id, bool force, char **reterr_detail)
{
    int r = manager_need_open(m, reterr_detail);

    if (r < 0)
        return r;
    if (!m->store)
        return no_store(reterr_detail);
    r = store_remove_slot(m->store, id, force);
    switch (r) {
    case 0:
    case -ENOMEM:
        return r;
    case -ENOENT:
        return no_such_slot(id, reterr_detail);
    case -EPERM:
        return detail_set(reterr_detail, r,
                          json_object_array_length(store_slots(m->store)) == 1
                              ? "it is the last slot: nothing could open the store again"
                              : "no other slot is known to open the store by itself: seal another "
                                "one anew first (nvme-keyctl slot reseal), or force it");
    default:
        return detail_set(reterr_detail, -EIO, "cannot write the store: %s", strerror(-r));
    }
}

int manager_slots(Manager *m, json_object **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *attached = NULL;
    const Store *s = m->store;
    int r;

    if (manager_is_opening(m))
        return -EINPROGRESS;
    if (!s) {
        r = store_attach(m->state_dir, &attached, reterr_detail);
        if (r < 0)
            return r == -ENOENT ? no_store(reterr_detail) : r;
        s = attached;
    }
    *ret = json_object_get(store_slots(s));
    return 0;
}

/* Between two tries of a TPM that did not count. */
#define COUNT_RETRY_USEC (60 * USEC_PER_SEC)

static int work_remove_orphan(const void *userdata, _unused_ Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;

    return store_remove_orphan(m->store, reterr_detail);
}

/* Whatever came of it, it is not tried again: it may be that of a TPM that is gone. */
static void on_orphan_removed(int error, _unused_ const Secret *output, const char *detail,
                              void *userdata)
{
    Manager *m = userdata;

    if (error < 0)
        log_debug("rollback counter not removed: %s", detail ? detail : strerror(-error));
    store_forget_orphan(m->store);
    manager_end_task(m, MANAGER_COUNTED, error);
}

static int work_count(const void *userdata, Secret **ret, char **reterr_detail)
{
    const Manager *m = userdata;

    return store_count(m->store, ret, reterr_detail);
}

static void on_counted(int error, const Secret *output, const char *detail, void *userdata)
{
    Manager *m = userdata;

    if (error == 0)
        error = store_counted(m->store, output);
    m->count_failed_usec = error < 0 ? now_monotonic() : 0;
    free(m->store_detail);
    m->store_detail = error < 0 && detail ? strdup(detail) : NULL;
    manager_end_task(m, MANAGER_COUNTED, error);
}

void manager_count(Manager *m)
{
    int r;

    if (!m->store || m->task != TASK_NONE)
        return;
    if (store_has_orphan(m->store)) {
        m->task = TASK_COUNT;
        if (manager_start_job(m, work_remove_orphan, on_orphan_removed) < 0)
            m->task = TASK_NONE;
        return;
    }
    if (!store_counter_behind(m->store) ||
        (m->count_failed_usec > 0 && now_monotonic() - m->count_failed_usec < COUNT_RETRY_USEC))
        return;
    m->task = TASK_COUNT;
    r = manager_start_job(m, work_count, on_counted);
    if (r < 0) {
        m->task = TASK_NONE;
        m->count_failed_usec = now_monotonic();
    }
}

bool manager_is_working(const Manager *m)
{
    return m->task != TASK_NONE;
}

bool manager_has_to_count(const Manager *m)
{
    return m->store && store_counter_behind(m->store);
}
