/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "basic/detail.h"
#include "credstore/seal/limits.h"
#include "credstore/store-counter.h"

/* The password derives from the store key, so the counter can be read and incremented only with it.
 */
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

int store_counter_request(const Store *s, const Secret *key, SealWork work,
                          const RollbackCounter *counter, Secret **ret)
{
    SealRequest q = {.work = work, .counter = counter->tpm, .value = counter->value};
    _cleanup_(secret_freep) Secret *auth = NULL;
    int r = make_auth(s, key, &auth);

    q.secret = auth;
    memcpy(q.owner, s->identity, sizeof(q.owner));
    return r < 0 ? r : seal_request_pack(&q, ret);
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

bool store_has_counter(const Store *s)
{
    return s->header.counter.present;
}

bool store_may_use_counter(const Store *s, uint32_t index)
{
    for (size_t i = 0; s->uncertain && i < s->header.n_orphans; i++)
        if (s->header.orphans[i].index == index)
            return true;
    return s->header.counter.present && s->header.counter.tpm.index == index;
}

bool store_counter_lost(const Store *s)
{
    return s->header.counter.present && !s->counter_checked;
}

bool store_counter_behind(const Store *s)
{
    return s->counter_checked && s->header.counter.value > s->counter_seen;
}

int store_request_count(const Store *s, Secret **ret)
{
    return store_counter_request(s, s->key, SEAL_WORK_COUNTER_COUNT, &s->header.counter, ret);
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

/* Past the limit the oldest is dropped: its TPM may be gone. */
static void add_orphan(Header *header, const Tpm2Counter *counter)
{
    if (header->n_orphans == STORE_ORPHANS_MAX) {
        memmove(header->orphans, header->orphans + 1,
                --header->n_orphans * sizeof(*header->orphans));
        header->orphans_tried -= header->orphans_tried > 0;
    }
    header->orphans[header->n_orphans++] = *counter;
}

static void remove_orphan(Header *header, size_t i)
{
    memmove(header->orphans + i, header->orphans + i + 1,
            (--header->n_orphans - i) * sizeof(*header->orphans));
    header->orphans_tried -= header->orphans_tried > i;
}

static bool is_same_name(const Tpm2Name *a, const Tpm2Name *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool is_same_place(const Tpm2Counter *a, const Tpm2Counter *b)
{
    return a->index == b->index && is_same_name(&a->srk_name, &b->srk_name);
}

/* Returns n_orphans if the counter is not in the list. */
static size_t find_orphan(const Header *header, const Tpm2Counter *counter)
{
    size_t i = 0;

    while (i < header->n_orphans && !(is_same_place(&header->orphans[i], counter) &&
                                      is_same_name(&header->orphans[i].name, &counter->name)))
        i++;
    return i;
}

/* An index has one counter at a time, so other orphans at the index of counter are gone. */
static void remove_orphans_at(Header *header, const Tpm2Counter *counter)
{
    for (size_t i = header->n_orphans; i-- > 0;)
        if (is_same_place(&header->orphans[i], counter))
            remove_orphan(header, i);
}

void transaction_set_counter(StoreTransaction *t, const RollbackCounter *counter)
{
    if (t->header.counter.present)
        add_orphan(&t->header, &t->header.counter.tpm);
    if (counter->present)
        remove_orphans_at(&t->header, &counter->tpm);
    t->header.counter = *counter;
    t->header_changed = true;
    t->new_counter = true;
}

/* Commits the list of orphans as it is in memory. */
static int commit_orphans(Store *s)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r < 0)
        return r;
    t->header_changed = true;
    return store_commit(t);
}

/* The final name comes first: after a removal by that, the other one needs no job. */
int store_counter_plan(Store *s, const Tpm2Name *srk_name, Secret **ret)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    RollbackCounter counter = {.present = true};
    Tpm2CounterPlan plan;
    int r = tpm2_counter_plan(srk_name, s->identity, &plan);

    if (r < 0)
        return r;
    r = store_begin(s, &t);
    if (r < 0)
        return r;
    add_orphan(&t->header, &plan.counter);
    add_orphan(&t->header, &plan.unwritten);
    t->header_changed = true;
    r = store_commit(t);
    if (r < 0)
        return r;
    counter.tpm = plan.counter;
    counter.value = plan.nonce;
    return store_counter_request(s, s->key, SEAL_WORK_COUNTER_CREATE, &counter, ret);
}

/* The other state may use a counter that is an orphan in this one. */
bool store_has_orphan(const Store *s)
{
    return !s->uncertain && s->header.orphans_tried < s->header.n_orphans;
}

int store_request_orphan(Store *s, Secret **ret)
{
    const SealRequest q = {.work = SEAL_WORK_COUNTER_REMOVE,
                           .counter = s->header.orphans[s->header.orphans_tried]};

    s->removing = q.counter;
    return seal_request_pack(&q, ret);
}

int store_forget_orphan(Store *s, int error)
{
    Header *header = &s->header;
    size_t i = find_orphan(header, &s->removing), n = header->n_orphans;

    if (error < 0 && error != -ENOENT) {
        header->orphans_tried += i < n && i == header->orphans_tried;
        return 0;
    }
    if (error == 0)
        remove_orphans_at(header, &s->removing);
    else if (i < n)
        remove_orphan(header, i);
    return header->n_orphans < n ? commit_orphans(s) : 0;
}
