/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "credstore/seal/helper.h"
#include "nvme-keyd/vault/vault-private.h"

/* Slots of the store. Sealing one is slow, so it is a request; adding the sealed slot is a
 * commit. */

/* The random index of a counter may be taken, but hardly so many of them. */
#define COUNTER_TRIES 4

int vault_no_store(char **reterr_detail)
{
    return detail_set(reterr_detail, -ENOMEDIUM, "there is no store yet");
}

static int no_such_slot(const char *id, char **reterr_detail)
{
    return detail_set(reterr_detail, -ENOENT, "no slot has the id \"%s\"", id);
}

static int too_many(char **reterr_detail)
{
    return detail_set(reterr_detail, -E2BIG, "a store has at most %d slots: remove one",
                      STORE_SLOTS_MAX);
}

static int cannot_write(int error, char **reterr_detail)
{
    return error == -ENOMEM
               ? error
               : detail_set(reterr_detail, -EIO, "cannot write the store: %s", strerror(-error));
}

static int check_request(const Vault *v, const char *type, const char *replaces,
                         char **reterr_detail)
{
    if (!vault_store(v))
        return vault_no_store(reterr_detail);
    if (!store_has_slot_type(type))
        return detail_set(reterr_detail, -EINVAL, "there are no slots of type \"%s\"", type);
    if (replaces && !store_find_slot(v->store, replaces))
        return no_such_slot(replaces, reterr_detail);
    if (!replaces && json_object_array_length(store_slots(v->store)) >= STORE_SLOTS_MAX)
        return too_many(reterr_detail);
    return 0;
}

static void end_sealing(Vault *v, int error, const Secret *slot, const char *detail)
{
    _cleanup_(freep) char *words =
        error < 0 && !detail ? vault_explain(STAILQ_FIRST(&v->requests)->type, error) : NULL;

    vault_end_request(v, error, slot, detail ? detail : words);
    vault_end_job(v);
    vault_run_next(v);
    vault_notify(v, VAULT_IDLE);
}

static int make_counter(Vault *v, char **reterr_detail);

static void on_counter_made(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(secret_freep) Secret *slot = NULL;
    _cleanup_(freep) char *why = NULL;
    Vault *v = userdata;

    if (error == -EADDRINUSE && ++v->counter_tries < COUNTER_TRIES) {
        error = make_counter(v, &why);
        if (error == 0)
            return;
    }
    if (error == 0)
        error = output ? store_add_counter(v->slot, output, &slot) : -EBADMSG;
    end_sealing(v, error, slot, why ? why : detail);
}

static int make_counter(Vault *v, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = store_request_new_counter(v->store, v->slot, &request);

    return r < 0 ? cannot_write(r, reterr_detail)
                 : vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_counter_made);
}

static void on_sealed(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(secret_freep) Secret *slot = NULL;
    _cleanup_(freep) char *why = NULL;
    Vault *v = userdata;

    if (error == 0)
        error = output ? store_wrap_slot(v->store, output, v->kek, &slot) : -EBADMSG;
    if (error == 0 && STAILQ_FIRST(&v->requests)->options.rollback_counter) {
        v->slot = TAKE_PTR(slot);
        v->counter_tries = 0;
        error = make_counter(v, &why);
        if (error == 0)
            return;
    }
    end_sealing(v, error, error == 0 ? slot : NULL, why ? why : detail);
}

int vault_start_sealing(Vault *v, char **reterr_detail)
{
    const VaultRequest *q = STAILQ_FIRST(&v->requests);
    _cleanup_(secret_freep) Secret *request = NULL;
    SlotOptions options = q->options;
    int r = check_request(v, q->type, q->replaces, reterr_detail);

    options.allow_null_key = v->rules.allow_null_key;
    options.closed_ways = v->rules.closed_ways;
    v->kek = secret_free(v->kek);
    if (r == 0)
        r = store_request_seal(v->store, q->type, q->replaces, &options, &request, &v->kek,
                               reterr_detail);
    return r < 0 ? r : vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_sealed);
}

void vault_seal_slot(Vault *v, const SlotRequest *request, VaultDone done, void *userdata)
{
    vault_request(v, request, 0, done, userdata);
}

int vault_put_slot(Vault *v, const Secret *slot, SealedSlot *ret, char **reterr_detail)
{
    int r;

    ret->new_tpm = store_is_new_tpm(v->store, slot);
    r = store_put_slot(v->store, slot, ret->id);
    if (r == -E2BIG)
        return too_many(reterr_detail);
    return r < 0 ? cannot_write(r, reterr_detail) : 0;
}

int vault_add_recovery(Vault *v, const SlotRequest *q, SealedSlot *ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL, *key = NULL, *sealed = NULL, *slot = NULL;
    SlotOptions options = vault_slot_options(v);
    int r = check_request(v, q->type, q->replaces, reterr_detail);

    options.comment = q->options.comment;
    if (r == 0)
        r = store_request_seal(v->store, q->type, q->replaces, &options, &request, &key,
                               reterr_detail);
    if (r == 0)
        r = seal_work(request->data, request->size, &sealed, reterr_detail);
    if (r == 0)
        r = store_wrap_slot(v->store, sealed, key, &slot);
    if (r == 0)
        r = vault_put_slot(v, slot, ret, reterr_detail);
    if (r == 0)
        ret->recovery_key = TAKE_PTR(key);
    return r;
}

int vault_remove_slot(Vault *v, const char *id, bool force, char **reterr_detail)
{
    int r;

    if (!vault_store(v))
        return vault_no_store(reterr_detail);
    r = store_remove_slot(v->store, id, force);
    switch (r) {
    case 0:
        return 0;
    case -ENOENT:
        return no_such_slot(id, reterr_detail);
    case -EPERM:
        return detail_set(reterr_detail, r,
                          json_object_array_length(store_slots(v->store)) == 1
                              ? "it is the last slot: nothing could open the store again"
                              : "no other slot is known to open the store by itself: reseal "
                                "another one first (nvme-keyctl slot reseal), or force it");
    default:
        return cannot_write(r, reterr_detail);
    }
}

int vault_slots(Vault *v, json_object **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *attached = NULL;
    const Store *s = v->store;
    int r;

    if (!s) {
        r = store_attach(v->state_dir, &attached, reterr_detail);
        if (r < 0)
            return r == -ENOENT ? vault_no_store(reterr_detail) : r;
        s = attached;
    }
    *ret = json_object_get(store_slots(s));
    return 0;
}
