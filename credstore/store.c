/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/seal/limits.h"
#include "credstore/store-private.h"

void store_forget_records(Store *s)
{
    for (size_t i = 0; i < s->n_records; i++)
        record_free(s->records[i]);
    free(TAKE_PTR(s->records));
    s->n_records = 0;
}

Store *store_close(Store *s)
{
    if (!s)
        return NULL;

    store_forget_records(s);
    file_text_done(&s->text);
    header_done(&s->header);
    json_object_put(s->proven);
    secret_free(s->key);
    sealer_free(s->sealer);
    closep(&s->dirfd);
    free(s);
    return NULL;
}

int store_new(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->dirfd = -EBADF;
    s->proven = json_object_new_object();
    if (!s->proven)
        return -ENOMEM;
    r = sealer_new(&s->sealer);
    if (r < 0)
        return r;
    r = file_lock_dir(dir, &s->dirfd, reterr_detail);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

const char *store_identity(const Store *s)
{
    return s->identity;
}

int store_identity_of(const Store *s, const Secret *key, char ret[static STORE_IDENTITY_SIZE])
{
    uint8_t derived[STORE_KEY_SIZE];
    int r = sealer_derive(s->sealer, key, "nvme-keyd store identity", derived);

    if (r == 0)
        hex_encode(derived, (STORE_IDENTITY_SIZE - 1) / 2, ret);
    return r;
}

size_t store_lower_bound(Record *const *records, size_t n, uint64_t id)
{
    size_t first = 0;

    while (n > 0) {
        size_t half = n / 2;

        if (records[first + half]->number < id) {
            first += half + 1;
            n -= half + 1;
        } else
            n = half;
    }
    return first;
}

Record *store_find_record(const Store *s, uint64_t id)
{
    size_t i = store_lower_bound(s->records, s->n_records, id);

    return i < s->n_records && s->records[i]->number == id ? s->records[i] : NULL;
}

static Record *find_by_name(const Store *s, const char *id)
{
    uint64_t number;

    return record_id_parse(id, &number) ? store_find_record(s, number) : NULL;
}

int store_for_each(Store *s, StoreVisit visit, void *userdata)
{
    for (size_t i = 0; i < s->n_records; i++) {
        int r = visit(&s->records[i]->public, userdata);

        if (r != 0)
            return r;
    }
    return 0;
}

const StoreRecord *store_find(Store *s, const char *id)
{
    const Record *record = find_by_name(s, id);

    return record ? &record->public : NULL;
}

int store_unseal(Store *s, const char *id, Secret **ret)
{
    const Record *record = find_by_name(s, id);

    return record ? record_unseal(s->sealer, s->key, record, ret) : -ENOENT;
}
