/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "credstore/limits.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"
#include "credstore/transaction.h"

/*
 * store_commit(): works out the state after the transaction, writes its files aside, passes the
 * commit point, and only then lets the new state take the place of the old one in memory.
 */

/* The state after a commit, made ready before it: nothing can fail behind the commit point. */
typedef struct NextState {
    Header header; /* slots are borrowed from the store or the transaction */
    CommitPlan plan;
    Record **records; /* the array is owned, the records are not */
    size_t n_records;
    Change **changes; /* in the order of their ids, the array is owned */
    size_t n_changes;
} NextState;

static void next_state_done(NextState *next)
{
    commit_plan_done(&next->plan);
    free(next->records);
    free(next->changes);
}

static int compare_changes(const void *a, const void *b)
{
    uint64_t x = (*(Change *const *)a)->number, y = (*(Change *const *)b)->number;

    return x < y ? -1 : x > y;
}

static void sort_changes(const StoreTransaction *t, NextState *next)
{
    struct lh_entry *entry;

    lh_foreach(t->changes, entry) next->changes[next->n_changes++] = lh_entry_v(entry);
    qsort(next->changes, next->n_changes, sizeof(*next->changes), compare_changes);
}

static void plan_change(const Store *s, Change *change, NextState *next)
{
    change->stored = store_find_record(s, change->number);
    if (change->record) {
        change->record->listed = true;
        next->plan.replace[next->plan.n_replace++] = change->number;
        next->records[next->n_records++] = change->record;
    } else
        next->plan.remove[next->plan.n_remove++] = change->number;
    /* Nothing in a broken shard is listed: its index stays as it is, for all to see. */
    if (change->record || change->stored->listed)
        next->plan.shards |= (uint64_t)1 << shard_of(change->number);
}

static void keep_records(const Store *s, size_t from, size_t to, NextState *next)
{
    if (to > from)
        memcpy(next->records + next->n_records, s->records + from,
               (to - from) * sizeof(*s->records));
    next->n_records += to - from;
}

/* Merges the sorted records of the store with the sorted changes. */
static void merge_records(const Store *s, NextState *next)
{
    size_t i = 0;

    for (size_t k = 0; k < next->n_changes; k++) {
        Change *change = next->changes[k];
        size_t at = store_lower_bound(s->records, s->n_records, change->number);

        keep_records(s, i, at, next);
        plan_change(s, change, next);
        i = at + (change->stored ? 1 : 0);
    }
    keep_records(s, i, s->n_records, next);
}

/* The number of records in a shard; *ret_first is the first of them. */
static size_t find_shard(const NextState *next, unsigned number, size_t *ret_first)
{
    size_t first, end = next->n_records;

    first = store_lower_bound(next->records, next->n_records, shard_first_id(number));
    if (number + 1 < STORE_SHARDS)
        end = store_lower_bound(next->records, next->n_records, shard_first_id(number + 1));
    *ret_first = first;
    return end - first;
}

/* A broken shard whose last record goes away starts again, empty. */
static void heal_shards(const Store *s, NextState *next)
{
    for (unsigned n = 0; n < STORE_SHARDS; n++) {
        size_t first;

        if (s->shard_errors[n] < 0 && find_shard(next, n, &first) == 0)
            next->plan.shards |= (uint64_t)1 << n;
    }
}

/* Slots are in the header alone: a shard of another generation tells one that was put back. */
static void mark_shard(const Store *s, NextState *next)
{
    unsigned first = (unsigned)(s->header.generation % STORE_SHARDS), n = first;

    do {
        if (s->shard_errors[n] == 0) {
            next->plan.shards |= (uint64_t)1 << n;
            return;
        }
        n = (n + 1) % STORE_SHARDS;
    } while (n != first);
}

/* The counter is incremented when the commit is a fact: until then it is one behind. Where nobody
 * could ask for it, it stays as it is. */
static void set_counter(const StoreTransaction *t, Header *header)
{
    const Store *s = t->store;

    if (t->counter) {
        header->counter = *t->counter;
        header->counter.value++;
    } else if (s->counter_checked)
        header->counter.value = s->counter_seen + 1;
}

static int make_next_state(const StoreTransaction *t, NextState *next)
{
    const Store *s = t->store;
    /* One more: a change of slots alone has none, and no memory is no array. */
    size_t n = (size_t)lh_table_length(t->changes) + 1;

    next->changes = calloc(n, sizeof(*next->changes));
    next->records = calloc(s->n_records + n, sizeof(*next->records));
    next->plan.replace = calloc(n, sizeof(*next->plan.replace));
    next->plan.remove = calloc(n, sizeof(*next->plan.remove));
    if (!next->changes || !next->records || !next->plan.replace || !next->plan.remove)
        return -ENOMEM;

    sort_changes(t, next);
    merge_records(s, next);
    heal_shards(s, next);
    next->header = s->header;
    if (t->slots)
        next->header.slots = t->slots;
    if (t->slots)
        mark_shard(s, next);
    set_counter(t, &next->header);
    next->header.generation++;
    next->plan.generation = next->header.generation;
    for (unsigned i = 0; i < STORE_SHARDS; i++)
        if (next->plan.shards >> i & 1)
            next->header.shards[i] = s->shard_seen[i] + 1;
    return 0;
}

static int put_signed(const Store *s, const CommitPlan *plan, const char *label, int dirfd,
                      const char *name, const char *body, size_t max)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    int r = signed_file_format(s->sealer, s->key, label, body, &text, &size);

    if (r < 0)
        return r;
    return size > max ? -E2BIG : commit_put(plan, dirfd, name, text, size);
}

static int put_shard(const Store *s, const NextState *next, unsigned number)
{
    size_t first, n = find_shard(next, number, &first);
    _cleanup_(shard_done) Shard shard = {.number = number,
                                         .generation = next->header.shards[number],
                                         .entries = calloc(n + 1, sizeof(ShardEntry))};
    _cleanup_(freep) char *body = NULL;
    char name[DIRS_NAME_SIZE];
    int r;

    if (!shard.entries)
        return -ENOMEM;
    for (size_t i = first; i < first + n; i++) {
        const Record *record = next->records[i];

        if (record->listed)
            shard.entries[shard.n_entries++] =
                (ShardEntry){record->number, record->public.generation};
    }
    r = shard_format(&shard, &body);
    if (r < 0)
        return r;
    dirs_shard_name(number, "", name);
    return put_signed(s, &next->plan, SIGNED_LABEL_SHARD, s->dirs.index, name, body,
                      STORE_SHARD_MAX);
}

static int put_record(const Store *s, const NextState *next, const Record *record)
{
    _cleanup_(freep) char *text = NULL;
    char name[DIRS_NAME_SIZE];
    size_t size;
    int r = record_format(record, &text, &size);

    if (r < 0)
        return r;
    dirs_record_name(record->number, "", name);
    return commit_put(&next->plan, s->dirs.records, name, text, size);
}

static int put_all(const Store *s, const NextState *next)
{
    _cleanup_(freep) char *body = NULL;
    int r;

    for (size_t k = 0; k < next->n_changes; k++)
        if (next->changes[k]->record) {
            r = put_record(s, next, next->changes[k]->record);
            if (r < 0)
                return r;
        }
    for (unsigned n = 0; n < STORE_SHARDS; n++)
        if (next->plan.shards >> n & 1) {
            r = put_shard(s, next, n);
            if (r < 0)
                return r;
        }
    r = header_format(&next->header, &body);
    if (r < 0)
        return r;
    return put_signed(s, &next->plan, SIGNED_LABEL_HEADER, s->dirs.root, DIRS_HEADER, body,
                      STORE_HEADER_MAX);
}

/* Ends what the last commit could not: nothing new may be written over its files before. */
static int settle(Store *s)
{
    int r = s->unsettled == TO_FINISH    ? commit_finish(&s->dirs, &s->plan)
            : s->unsettled == TO_RETRACT ? commit_retract(&s->dirs, &s->plan)
                                         : 0;

    if (r == 0) {
        s->unsettled = SETTLED;
        commit_plan_done(&s->plan);
    }
    return r;
}

static void leave_unsettled(Store *s, Unsettled how, NextState *next)
{
    s->unsettled = how;
    s->plan = next->plan;
    next->plan = (CommitPlan){.generation = 0};
}

/* Puts the new state in force in memory; nothing here can fail. */
static void switch_over(StoreTransaction *t, NextState *next)
{
    Store *s = t->store;

    for (size_t k = 0; k < next->n_changes; k++) {
        record_free(next->changes[k]->stored);
        next->changes[k]->record = NULL;
    }
    free(s->records);
    s->records = TAKE_PTR(next->records);
    s->n_records = next->n_records;
    if (t->slots)
        json_object_put(s->header.slots);
    t->slots = NULL;
    s->header = next->header;
    if (t->counter) {
        s->counter_checked = t->counter->present;
        s->counter_seen = t->counter->value;
    }
    for (unsigned n = 0; n < STORE_SHARDS; n++)
        if (next->plan.shards >> n & 1) {
            s->shard_errors[n] = 0;
            s->shard_seen[n] = s->header.shards[n];
        }
    t->committed = true;
}

int store_commit(StoreTransaction *t)
{
    _cleanup_(next_state_done) NextState next = {.n_records = 0};
    Store *s = t->store;
    int r;

    if (t->committed)
        return -EINVAL;
    if (lh_table_length(t->changes) == 0 && !t->slots) {
        t->committed = true;
        return 0;
    }
    r = settle(s);
    if (r < 0)
        return r;
    r = make_next_state(t, &next);
    if (r < 0)
        return r;
    r = put_all(s, &next);
    if (r < 0) {
        commit_discard(&s->dirs, &next.plan);
        return r;
    }
    r = commit_publish(&s->dirs, &next.plan, s->sealer, s->key);
    if (r < 0) {
        if (commit_retract(&s->dirs, &next.plan) < 0)
            leave_unsettled(s, TO_RETRACT, &next);
        return r;
    }

    switch_over(t, &next);
    if (commit_finish(&s->dirs, &next.plan) < 0)
        leave_unsettled(s, TO_FINISH, &next);
    return 0;
}
