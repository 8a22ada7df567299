/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "credstore/transaction.h"

static void free_change(struct lh_entry *entry)
{
    Change *change = lh_entry_v(entry);

    record_free(change->record);
    free(change);
}

StoreTransaction *store_end(StoreTransaction *t)
{
    if (!t)
        return NULL;

    t->store->in_transaction = false;
    if (t->changes)
        lh_table_free(t->changes);
    header_done(&t->header);
    free(t);
    return NULL;
}

int store_begin(Store *s, StoreTransaction **ret)
{
    StoreTransaction *t;

    if (store_is_export(s))
        return -EROFS;
    if (s->in_transaction)
        return -EBUSY;
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->store = s;
    t->changes = lh_kchar_table_new(16, free_change);
    if (!t->changes) {
        free(t);
        return -ENOMEM;
    }
    t->header = s->header;
    json_object_get(t->header.slots);
    s->in_transaction = true;
    *ret = t;
    return 0;
}

static Change *find_change(const StoreTransaction *t, const char *id)
{
    void *change;

    return lh_table_lookup_ex(t->changes, id, &change) ? change : NULL;
}

/* Notes the change of a record; takes record even on error. */
static int set_change(StoreTransaction *t, uint64_t id, Record *record)
{
    _cleanup_(record_freep) Record *owned = record;
    _cleanup_(freep) Change *change = NULL;
    char text[STORE_ID_SIZE];
    Change *before;

    record_id_format(id, text);
    before = find_change(t, text);
    if (before) {
        record_free(before->record);
        before->record = TAKE_PTR(owned);
        return 0;
    }

    change = calloc(1, sizeof(*change));
    if (!change)
        return -ENOMEM;
    memcpy(change->id, text, sizeof(text));
    change->number = id;
    if (lh_table_insert(t->changes, change->id, change) < 0)
        return -ENOMEM;
    TAKE_PTR(change)->record = TAKE_PTR(owned);
    return 0;
}

/* Makes a random unused id. */
static int choose_id(const StoreTransaction *t, uint64_t *ret)
{
    char text[STORE_ID_SIZE];
    uint64_t id;

    do {
        if (RAND_bytes((unsigned char *)&id, sizeof(id)) != 1)
            return -EIO;
        record_id_format(id, text);
    } while (store_find_record(t->store, id) || find_change(t, text));
    *ret = id;
    return 0;
}

int store_add(StoreTransaction *t, const char *meta, const Secret *secret,
              char ret_id[static STORE_ID_SIZE])
{
    Store *s = t->store;
    Record *record;
    uint64_t id;
    int r;

    if (t->committed)
        return -EINVAL;
    r = choose_id(t, &id);
    if (r < 0)
        return r;
    r = record_new_sealed(s->sealer, s->key, id, 1, meta, secret, &record);
    if (r < 0)
        return r;
    r = set_change(t, id, record);
    if (r < 0)
        return r;

    record_id_format(id, ret_id);
    return 0;
}

/* Returns the record as the transaction leaves it so far, or NULL. */
static const Record *find_current(const StoreTransaction *t, const char *id)
{
    const Change *change = find_change(t, id);
    uint64_t number;

    if (change)
        return change->record;
    return record_id_parse(id, &number) ? store_find_record(t->store, number) : NULL;
}

int store_replace(StoreTransaction *t, const char *id, const char *meta, const Secret *secret)
{
    _cleanup_(secret_freep) Secret *kept = NULL;
    const Record *current = find_current(t, id), *stored;
    Store *s = t->store;
    Record *record;
    int r;

    if (t->committed)
        return -EINVAL;
    if (!current)
        return -ENOENT;
    if (!secret) {
        r = record_unseal(s->sealer, s->key, current, &kept);
        if (r < 0)
            return r;
    }

    stored = store_find_record(s, current->number);
    r = record_new_sealed(s->sealer, s->key, current->number,
                          stored ? stored->public.generation + 1 : 1, meta, secret ? secret : kept,
                          &record);
    if (r < 0)
        return r;
    return set_change(t, current->number, record);
}

int store_remove(StoreTransaction *t, const char *id)
{
    const Record *current = find_current(t, id);

    if (t->committed)
        return -EINVAL;
    if (!current)
        return -ENOENT;
    /* Added by this transaction, so nothing is left to do. */
    if (!store_find_record(t->store, current->number)) {
        lh_table_delete(t->changes, id);
        return 0;
    }
    return set_change(t, current->number, NULL);
}
