/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "credstore/slot-warnings.h"
#include "nvme-keyd/vault/vault-private.h"

/* Making a store: one job after the other seals a slot of each type that works here, then the
 * header is written. */

static int enrol_type(Vault *v);

static void end_creating(Vault *v, int result)
{
    vault_end_job(v);
    v->make_error = result;
    v->state = result == 0 ? VAULT_STATE_OPEN : VAULT_STATE_CLOSED;
    v->is_new = result == 0;
    if (result == 0)
        return;
    v->store = store_close(v->store);
    v->make_retry_usec = vault_retry_time(v);
    if (!v->make_detail)
        v->make_detail = strdup(strerror(-result));
}

static void end_and_notify(Vault *v, int result)
{
    if (result == 0)
        free(TAKE_PTR(v->make_detail));
    end_creating(v, result);
    vault_notify(v, result == 0 ? VAULT_CREATED : VAULT_FAILED);
    vault_run_next(v);
}

static int establish(Vault *v)
{
    _cleanup_(freep) char *why = NULL;
    int r = store_establish(v->store, &why);

    if (why)
        detail_append(&v->make_detail, why);
    return r == -EOPNOTSUPP && v->slot_error < 0 ? v->slot_error : r;
}

/* A type that this machine lacks, or that OpenBy= leaves out, gives no warning. */
static void note_passed_over(Vault *v, int error, const char *type, const char *detail)
{
    _cleanup_(freep) char *words = NULL, *line = NULL;

    if (error == -ENODEV || error == -EXDEV)
        return;
    if (!detail)
        detail = words = vault_explain(type, error);
    (void)detail_set(&line, 0, "the store has no slot by %s; later: nvme-keyctl slot add %s",
                     detail ? detail : type, type);
    if (!v->passed_over)
        v->passed_over = json_object_new_array();
    if (line && v->passed_over &&
        json_append_take(v->passed_over, json_object_new_string(line)) < 0)
        log_debug("a warning is lost");
}

static void on_enrol(int error, const Secret *output, const char *detail, void *userdata)
{
    Vault *v = userdata;
    _cleanup_(secret_freep) Secret *slot = NULL;
    const char *type = store_nth_enrol_type(v->nth);
    int r = error == 0 && !output ? -EBADMSG : error;

    if (r == 0)
        r = store_wrap_slot(v->store, output, v->kek, &slot);
    if (r == 0)
        r = store_adopt_slot(v->store, slot);

    if (r < 0) {
        note_passed_over(v, r, type, detail);
        vault_note_failure(v, &v->make_detail, r, type, detail);
    }
    v->nth++;
    r = enrol_type(v);
    if (r < 1)
        end_and_notify(v, r);
}

/* Returns 1 when a job has started for the next type, 0 when the store is made, or an error. */
static int enrol_type(Vault *v)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    SlotOptions options = vault_slot_options(v);
    int r;

    v->kek = secret_free(v->kek);
    r = store_request_enrol(v->store, v->nth, &options, &request, &v->kek);
    if (r == -ERANGE)
        return establish(v);
    if (r == 0)
        r = vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_enrol);
    return r < 0 ? r : 1;
}

static void on_counters_seen(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Vault *v = userdata;
    int r = vault_end_counter_check(v, error, output, detail, &why);

    if (r < 0)
        vault_note_failure(v, &v->make_detail, r, "store", why);
    else
        r = enrol_type(v);
    if (r < 1)
        end_and_notify(v, r);
}

/* The counter of another store in the TPM would keep the new store from opening the next time, so
 * look for one first. */
static int start(Vault *v)
{
    int r = store_prepare(v->state_dir, &v->store, &v->make_detail);

    if (r < 0)
        return r;
    vault_begin(v, VAULT_STATE_CREATING);
    r = vault_start_counter_check(v, on_counters_seen);
    return r == 0 ? enrol_type(v) : r;
}

bool vault_await_new(Vault *v)
{
    int r;

    if (!vault_await(v))
        return false;
    if (v->state == VAULT_STATE_OPEN || v->error < 0 || now_monotonic() < v->make_retry_usec)
        return true;
    free(TAKE_PTR(v->make_detail));
    json_object_put(v->passed_over);
    v->passed_over = NULL;
    v->start_usec = now_monotonic();
    r = start(v);
    if (r < 1)
        end_creating(v, r);
    return r < 1;
}

bool vault_take_new(Vault *v)
{
    bool is_new = v->is_new;

    v->is_new = false;
    return is_new;
}

int vault_new_warnings(const Vault *v, json_object **ret)
{
    _cleanup_(json_putp) json_object *lines = NULL;
    int r = slot_warnings(store_slots(v->store), &lines);

    for (size_t i = 0; r == 0 && v->passed_over && i < json_object_array_length(v->passed_over);
         i++)
        r = json_append_take(lines, json_object_get(json_object_array_get_idx(v->passed_over, i)));
    if (r == 0)
        *ret = TAKE_PTR(lines);
    return r;
}
