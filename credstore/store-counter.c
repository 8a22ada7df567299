/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/log.h"
#include "credstore/seal/limits.h"
#include "credstore/store-counter.h"

/* Who has the store key, and nobody else, can read the counter and increment it. */
static int make_auth(const Store *s, const Secret *key, Secret **ret)
{
    _cleanup_(secret_freep) Secret *auth = secret_new(STORE_KEY_SIZE);
    int r;

    if (!auth)
        return -ENOMEM;
    r = sealer_derive(s->sealer, key, "nvme-keyd rollback counter", auth->data);
    if (r == 0)
        *ret = TAKE_PTR(auth);
    return r;
}

int store_counter_read(const Store *s, const Secret *key, bool *ret_checked, uint64_t *ret_value,
                       char **reterr_detail)
{
    const RollbackCounter *counter = &s->header.counter;
    _cleanup_(secret_freep) Secret *auth = NULL;
    _cleanup_(freep) char *why = NULL;
    int r;

    *ret_checked = false;
    *ret_value = 0;
    if (!counter->present)
        return 0;
    r = make_auth(s, key, &auth);
    if (r == 0)
        r = tpm2_counter_read(&counter->tpm, auth, ret_value, &why);
    if (r < 0)
        return detail_set(reterr_detail, r, "cannot read the rollback counter: %s",
                          why ? why : strerror(-r));
    *ret_checked = true;
    return 0;
}

int store_counter_compare(const Store *s, char **reterr_detail)
{
    const RollbackCounter *counter = &s->header.counter;

    if (!s->counter_checked || counter->value >= s->counter_seen)
        return 0;
    return detail_set(reterr_detail, -ESTALE,
                      "the store is an old copy: the TPM has counted %" PRIu64
                      " changes since; a recovery key opens it",
                      s->counter_seen - counter->value);
}

int store_counter_make(const Store *s, const Tpm2Name *srk_name, RollbackCounter *ret,
                       char **reterr_detail)
{
    RollbackCounter counter = {.present = true};
    _cleanup_(secret_freep) Secret *auth = NULL;
    int r;

    if (s->counter_checked)
        return detail_set(reterr_detail, -EEXIST, "the store has a rollback counter already");
    r = make_auth(s, s->key, &auth);
    if (r < 0)
        return r;
    r = tpm2_counter_create(srk_name, s->identity, auth, &counter.tpm, reterr_detail);
    if (r < 0)
        return r;
    r = tpm2_counter_read(&counter.tpm, auth, &counter.value, reterr_detail);
    if (r < 0) {
        if (tpm2_counter_remove(&counter.tpm, NULL) < 0)
            log_debug("rollback counter not removed");
        return r;
    }
    *ret = counter;
    return 0;
}

bool store_has_counter(const Store *s)
{
    return s->header.counter.present;
}

uint32_t store_counter_index(const Store *s)
{
    return s->header.counter.present ? s->header.counter.tpm.index : 0;
}

bool store_counter_lost(const Store *s)
{
    return s->header.counter.present && !s->counter_checked;
}

bool store_counter_behind(const Store *s)
{
    return s->counter_checked && s->header.counter.value > s->counter_seen;
}

int store_count(const Store *s, Secret **ret, char **reterr_detail)
{
    const RollbackCounter *counter = &s->header.counter;
    _cleanup_(secret_freep) Secret *auth = NULL;
    uint64_t value;
    int r;

    r = make_auth(s, s->key, &auth);
    if (r < 0)
        return r;
    /* A try that failed may have incremented it all the same, and once more would be too much. */
    r = tpm2_counter_read(&counter->tpm, auth, &value, reterr_detail);
    while (r == 0 && value < counter->value)
        r = tpm2_counter_increment(&counter->tpm, auth, &value, reterr_detail);
    if (r < 0)
        return r;
    *ret = secret_new_copy(&value, sizeof(value));
    return *ret ? 0 : -ENOMEM;
}

int store_counted(Store *s, const Secret *value)
{
    uint64_t seen;

    if (value->size != sizeof(seen))
        return -EBADMSG;
    memcpy(&seen, value->data, sizeof(seen));
    if (seen > s->counter_seen)
        s->counter_seen = seen;
    return 0;
}

/* Past the limit the oldest is given up: its TPM may be gone. */
static void add_orphan(Header *header, const Tpm2Counter *counter)
{
    if (header->n_orphans == STORE_ORPHANS_MAX)
        memmove(header->orphans, header->orphans + 1,
                --header->n_orphans * sizeof(*header->orphans));
    header->orphans[header->n_orphans++] = *counter;
}

void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter)
{
    if (t->header.counter.present)
        add_orphan(&t->header, &t->header.counter.tpm);
    t->header.counter = *counter;
    t->header_changed = true;
    t->new_counter = true;
}

/* Writes the list of orphans as it is in memory. */
static int commit_orphans(Store *s)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r < 0)
        return r;
    t->header_changed = true;
    return store_commit(t);
}

void store_drop_counter(Store *s, const RollbackCounter *counter)
{
    if (!counter->present)
        return;
    add_orphan(&s->header, &counter->tpm);
    if (commit_orphans(s) < 0)
        log_debug("the index of a rollback counter is not written yet");
}

bool store_has_orphan(const Store *s)
{
    return s->orphans_tried < s->header.n_orphans;
}

int store_remove_orphan(const Store *s, char **reterr_detail)
{
    return tpm2_counter_remove(&s->header.orphans[s->orphans_tried], reterr_detail);
}

int store_forget_orphan(Store *s, int error)
{
    Header *header = &s->header;
    size_t i = s->orphans_tried;

    if (i >= header->n_orphans)
        return -EINVAL;
    if (error < 0 && error != -ENOENT) {
        s->orphans_tried++;
        return 0;
    }
    memmove(header->orphans + i, header->orphans + i + 1,
            (--header->n_orphans - i) * sizeof(*header->orphans));
    return commit_orphans(s);
}
