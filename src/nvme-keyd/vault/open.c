/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "credstore/seal/ways.h"
#include "nvme-keyd/vault/vault-private.h"

/* Opening: one slot after the other, each in a job, until one gives the key. Then the TPM is asked
 * for the counter of another store, and the store is unlocked. */

static int try_slot(Vault *v);

static void end_opening(Vault *v, int result)
{
    vault_end_job(v);
    v->found = secret_free(v->found);
    v->error = result;
    v->state = result == 0 ? VAULT_STATE_OPEN : VAULT_STATE_CLOSED;
    if (result == 0)
        return;
    v->store = store_close(v->store);
    v->retry_usec = vault_retry_time(v);
    if (!v->detail)
        v->detail = strdup(strerror(-result));
}

static void end_and_notify(Vault *v, int result)
{
    end_opening(v, result);
    vault_notify(v, result == 0 ? VAULT_OPENED : VAULT_FAILED);
    /* The lines of the slots that failed before; the handler may still log them. */
    if (v->state == VAULT_STATE_OPEN)
        free(TAKE_PTR(v->detail));
    vault_run_next(v);
}

/* Like in_initrd() of systemd, which lets tests decide by the same variable. */
static bool is_initramfs(void)
{
    const char *value = secure_getenv("SYSTEMD_IN_INITRD");

    return value && *value ? strcmp(value, "1") == 0 : access("/etc/initrd-release", F_OK) == 0;
}

/* Opens the attached store with a key that was found. Returns as store_unlock(), -EXDEV (not the
 * expected store), or -EROFS: an export in the place of the real store would have old keys, or too
 * few, and no rollback counter that reveals it. */
static int open_with(Vault *v, const Secret *found, char **reterr_detail)
{
    int r = store_unlock(v->store, found, reterr_detail);

    if (r == 0) {
        r = vault_check_id(v, v->store, reterr_detail);
        v->foreign = r < 0;
    }
    if (r == 0 && store_is_export(v->store) && !is_initramfs())
        return detail_set(reterr_detail, -EROFS,
                          "it is an export for a boot image, which opens only in an initramfs");
    return r;
}

static void open_and_notify(Vault *v, const Secret *found)
{
    _cleanup_(freep) char *why = NULL;
    int r = open_with(v, found, &why);

    if (r < 0)
        vault_note_failure(v, &v->detail, r, "store", why);
    end_and_notify(v, r);
}

static void on_counters_seen(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Vault *v = userdata;
    int r = vault_end_counter_check(v, error, output, detail, &why);

    if (r == 0) {
        open_and_notify(v, v->found);
        return;
    }
    vault_note_failure(v, &v->detail, r, "store", why);
    end_and_notify(v, r);
}

/* Another slot may still open the store. */
static void fail_slot(Vault *v, int error, const char *detail)
{
    int r;

    v->found = secret_free(v->found);
    vault_note_failure(v, &v->detail, error, store_nth_slot_type(v->store, v->nth), detail);
    v->nth++;
    v->skip_given = false;
    r = try_slot(v);
    if (r < 0)
        end_and_notify(v, r);
}

static void check_counters(Vault *v)
{
    int r = vault_start_counter_check(v, on_counters_seen);

    if (r == 0)
        open_and_notify(v, v->found);
    else if (r < 0)
        end_and_notify(v, r);
}

static void on_counter_read(int error, const Secret *output, const char *detail, void *userdata)
{
    Vault *v = userdata;

    if (error == 0)
        error = output ? store_take_counter(v->found, output) : -EBADMSG;
    if (error < 0)
        fail_slot(v, error, detail);
    else
        check_counters(v);
}

static void read_counter(Vault *v)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = store_request_counter(v->store, v->found, &request);

    if (r == 0 && !request) {
        check_counters(v);
        return;
    }
    if (r == 0)
        r = vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_counter_read);
    if (r < 0)
        end_and_notify(v, r);
}

static void on_unsealed(int error, const Secret *output, const char *detail, void *userdata)
{
    _cleanup_(freep) char *why = NULL;
    Vault *v = userdata;
    int r = error;

    if (r == 0 && !output)
        r = -EBADMSG;
    if (r == 0)
        r = store_take_kek(v->store, v->nth, output, &v->found, &why);
    if (r == 0) {
        read_counter(v);
        return;
    }
    if (error == 0 && r == -EKEYREJECTED && !v->skip_given &&
        store_may_have_been_given(v->store, v->nth)) {
        vault_note_failure(v, &v->detail, r, store_nth_slot_type(v->store, v->nth), why);
        v->skip_given = true;
        r = try_slot(v);
        if (r < 0)
            end_and_notify(v, r);
        return;
    }
    fail_slot(v, r, why ? why : detail);
}

static int try_slot(Vault *v)
{
    for (;; v->nth++) {
        _cleanup_(secret_freep) Secret *request = NULL;
        _cleanup_(freep) char *why = NULL;
        SlotOptions options = vault_slot_options(v);
        int r;

        options.skip_given = v->skip_given;
        r = store_request_unseal(v->store, v->nth, &options, &request, &why);
        if (r == -ERANGE)
            return v->slot_error < 0 ? v->slot_error : -EKEYREJECTED;
        if (r == 0)
            return vault_start_job(v, SEAL_TIMEOUT_USEC, request, on_unsealed);
        vault_note_failure(v, &v->detail, r, store_nth_slot_type(v->store, v->nth), why);
    }
}

bool vault_await(Vault *v)
{
    uint64_t now = now_monotonic();
    int r;

    if (v->state == VAULT_STATE_OPEN)
        return true;
    if (v->job)
        return false;
    if (now < v->retry_usec || now < v->make_retry_usec)
        return true;
    free(TAKE_PTR(v->detail));
    r = store_attach(v->state_dir, &v->store, &v->detail);
    if (r == -ENOENT) {
        free(TAKE_PTR(v->detail));
        r = vault_check_id(v, NULL, &v->detail);
    }
    v->error = r;
    v->foreign = r == -EXDEV;
    if (r < 0 || !v->store)
        return true;
    vault_begin(v, VAULT_STATE_OPENING);
    r = try_slot(v);
    if (r < 0)
        end_opening(v, r);
    return r < 0;
}

int vault_find_by_recovery(const Vault *v, const Store *s, const Secret *key, Secret **ret,
                           char **reterr_detail)
{
    int r;

    if (v->rules.closed_ways & WAY_RECOVERY)
        return detail_set(reterr_detail, -EXDEV, "recovery: " WAY_CLOSED);
    r = store_find_key_by_recovery(s, key, ret);
    if (r == -ENOENT)
        return detail_set(reterr_detail, r, "the store has no recovery key");
    if (r == -EKEYREJECTED)
        return detail_set(reterr_detail, r, "it is not the recovery key of this store");
    return r;
}

/* Attaches the store, unless it is attached because it is being opened, and finds its key. */
static int find_to_unlock(Vault *v, const Secret *key, Secret **ret, char **reterr_detail)
{
    int r = 0;

    if (v->state == VAULT_STATE_CLOSED)
        r = store_attach(v->state_dir, &v->store, reterr_detail);
    if (r == -ENOENT)
        return vault_no_store(reterr_detail);
    if (r == 0)
        r = vault_find_by_recovery(v, v->store, key, ret, reterr_detail);
    /* An attached store is locked, which would keep the next try out. */
    if (r < 0 && v->state == VAULT_STATE_CLOSED)
        v->store = store_close(v->store);
    return r;
}

int vault_unlock(Vault *v, const Secret *recovery_key, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    bool was_working = v->job;
    int r;

    if (v->state == VAULT_STATE_OPEN || v->state == VAULT_STATE_CREATING)
        return detail_set(reterr_detail, -EALREADY, "the store is open");
    r = find_to_unlock(v, recovery_key, &found, reterr_detail);
    if (r < 0)
        return r;
    v->request_at_work = false;
    r = open_with(v, found, reterr_detail);
    if (r < 0) {
        free(v->detail);
        v->detail = *reterr_detail ? strdup(*reterr_detail) : NULL;
    }
    end_opening(v, r);
    v->retry_usec = 0;
    if (r == 0)
        free(TAKE_PTR(v->detail));
    if (r == 0 || was_working)
        vault_notify(v, r == 0 ? VAULT_OPENED : VAULT_IDLE);
    vault_run_next(v);
    return r < 0 ? r : vault_error(v);
}

bool vault_is_unlocked_by_hand(const Vault *v)
{
    return vault_store(v) && !store_opens_by_itself(v->store);
}
