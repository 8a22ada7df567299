/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/log.h"
#include "credstore/limits.h"
#include "credstore/transaction.h"

/*
 * store_commit() computes the state after the transaction, writes it to a file, and only then
 * replaces the old state in memory. Unchanged records are written as the text from which they were
 * read.
 */

/* The state after a commit. The array is owned; records and slots belong to the store or the
 * transaction. */
typedef struct NextState {
    Header header;
    Record **records;
    size_t n_records;
    Change **changes; /* sorted by id; the array is owned */
    size_t n_changes;
} NextState;

static void next_state_done(NextState *next)
{
    free(next->records);
    free(next->changes);
}

int store_format_head(const Store *s, const Header *header, Record *const *records,
                      size_t n_records, char **ret, size_t *ret_size)
{
    _cleanup_(freep) IndexEntry *entries = calloc(n_records + 1, sizeof(*entries));
    size_t n = 0;

    if (!entries)
        return -ENOMEM;
    for (size_t i = 0; i < n_records; i++)
        if (records[i]->listed > 0)
            entries[n++] = (IndexEntry){records[i]->number, records[i]->listed};
    return head_format(s->sealer, s->key, header, entries, n, ret, ret_size);
}

int store_write(const Store *s, const Header *header, Record *const *records, size_t n_records,
                bool *ret_renamed)
{
    _cleanup_(file_writer_done) FileWriter w = {.fd = -EBADF};
    _cleanup_(freep) char *head = NULL;
    size_t head_size, total;
    int r;

    *ret_renamed = false;
    r = store_format_head(s, header, records, n_records, &head, &head_size);
    if (r < 0)
        return r;
    total = head_size;
    for (size_t i = 0; i < n_records; i++)
        total += records[i]->size;
    if (total > STORE_FILE_MAX)
        return -E2BIG;
    r = file_writer_new(s->dirfd, &w);
    if (r == 0)
        r = file_writer_put(&w, head, head_size);
    for (size_t i = 0; r == 0 && i < n_records; i++)
        r = file_writer_put(&w, records[i]->text, records[i]->size);
    return r < 0 ? r : file_publish(&w, ret_renamed);
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
        change->stored = store_find_record(s, change->number);
        if (change->record)
            next->records[next->n_records++] = change->record;
        i = at + (change->stored ? 1 : 0);
    }
    keep_records(s, i, s->n_records, next);
}

/* Each state has a counter value of its own, even while the TPM lags behind, so that a copy made
 * between two commits counts as older than the second. If the counter could not be read, the value
 * stays: after an old copy was opened by a recovery key, changes must not make it the newest. */
static void set_counter(const StoreTransaction *t, Header *header)
{
    const Store *s = t->store;
    uint64_t last = CONST_MAX(header->counter.value, s->counter_seen);

    if (t->new_counter)
        header->counter.value++;
    else if (s->counter_checked)
        header->counter.value = CONST_MAX(last, s->counter_written) + 1;
}

static int make_next_state(const StoreTransaction *t, NextState *next)
{
    const Store *s = t->store;
    /* One more, because calloc(0) may return NULL, and a change of the header alone has no records.
     */
    size_t n = (size_t)lh_table_length(t->changes) + 1;

    next->changes = calloc(n, sizeof(*next->changes));
    next->records = calloc(s->n_records + n, sizeof(*next->records));
    if (!next->changes || !next->records)
        return -ENOMEM;

    sort_changes(t, next);
    merge_records(s, next);
    next->header = t->header;
    set_counter(t, &next->header);
    next->header.generation++;
    return 0;
}

/* Puts the new state in force in memory; cannot fail. */
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
    header_done(&s->header);
    s->header = next->header;
    t->header.slots = NULL;
    s->damaged = s->uncertain = false;
    if (t->new_counter) {
        s->counter_checked = t->header.counter.present;
        s->counter_seen = t->header.counter.value;
    }
    t->committed = true;
}

int store_commit(StoreTransaction *t)
{
    _cleanup_(next_state_done) NextState next = {.n_records = 0};
    Store *s = t->store;
    bool renamed;
    int r;

    if (t->committed)
        return -EINVAL;
    if (lh_table_length(t->changes) == 0 && !t->header_changed) {
        t->committed = true;
        return 0;
    }
    r = make_next_state(t, &next);
    if (r < 0)
        return r;
    if (s->damaged)
        file_keep_damaged(s->dirfd);
    r = store_write(s, &next.header, next.records, next.n_records, &renamed);
    if (r < 0 && renamed) {
        /* The new state is in place, but may not survive a crash. Write the old state again, so
         * that readers and the next process see the state that is in force here. If that fails too,
         * the next commit repairs it, because it starts from the old state. */
        s->counter_written = CONST_MAX(s->counter_written, next.header.counter.value);
        s->uncertain = store_write(s, &s->header, s->records, s->n_records, &renamed) < 0;
        if (s->uncertain)
            log_debug("a failed commit may come into force after a restart");
    }
    if (r < 0)
        return r;
    switch_over(t, &next);
    return 0;
}
