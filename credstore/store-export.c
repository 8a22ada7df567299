/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "credstore/limits.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"
#include "credstore/store-private.h"

/* A copy of the store with some of its records: the records as they are, and an index and a header
 * of its own, which fit nowhere else. */

/* Room for "records/ID.json". */
#define PATH_SIZE (sizeof("records/") + DIRS_NAME_SIZE)

struct StoreCopy {
    Header header;                 /* of the copy: its shards are those that it has so far */
    uint64_t shards[STORE_SHARDS]; /* of the store */
    Record **records;              /* shared, in the order of their numbers */
    size_t n_records;
    size_t next; /* record */
    Shard shard; /* that of the records so far, or empty */
    bool done;
};

/* Where a file goes. */
typedef struct Target {
    const Store *store;
    StoreFile visit;
    void *userdata;
} Target;

bool store_is_copy(const Store *s)
{
    return s->header.image[0] != '\0';
}

static int visit_signed(const Target *t, const char *label, const char *path, const char *body,
                        size_t max)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    int r = signed_file_format(t->store->sealer, t->store->key, label, body, &text, &size);

    if (r < 0)
        return r;
    return size > max ? -E2BIG : t->visit(path, text, size, t->userdata);
}

static int visit_record(const Target *t, const Record *record)
{
    _cleanup_(freep) char *text = NULL;
    char name[DIRS_NAME_SIZE], path[PATH_SIZE];
    size_t size;
    int r = record_format(record, &text, &size);

    if (r < 0)
        return r;
    dirs_record_name(record->number, "", name);
    (void)snprintf(path, sizeof(path), "records/%s", name);
    return t->visit(path, text, size, t->userdata);
}

/* The index of the records so far. */
static int visit_shard(StoreCopy *c, const Target *t)
{
    char name[DIRS_NAME_SIZE], path[PATH_SIZE], label[HEADER_SHARD_LABEL_SIZE];
    _cleanup_(freep) char *body = NULL;
    int r = shard_format(&c->shard, &body);

    if (r < 0)
        return r;
    c->header.shards[c->shard.number] = c->shard.generation;
    c->shard.n_entries = 0;
    dirs_shard_name(c->shard.number, "", name);
    (void)snprintf(path, sizeof(path), "index/%s", name);
    header_shard_label(&c->header, label);
    return visit_signed(t, label, path, body, STORE_SHARD_MAX);
}

static int visit_header(StoreCopy *c, const Target *t)
{
    _cleanup_(freep) char *body = NULL;
    int r = header_format(&c->header, &body);

    c->done = true;
    return r < 0 ? r : visit_signed(t, SIGNED_LABEL_HEADER, DIRS_HEADER, body, STORE_HEADER_MAX);
}

/* The records of a shard come first, and then its index. */
static bool shard_is_whole(const StoreCopy *c)
{
    return c->shard.n_entries > 0 &&
           (c->next == c->n_records || shard_of(c->records[c->next]->number) != c->shard.number);
}

int store_copy_next(StoreCopy *c, const Store *s, StoreFile visit, void *userdata)
{
    const Target t = {s, visit, userdata};
    const Record *record;
    int r;

    if (strcmp(s->header.id, c->header.id) != 0)
        return -ESTALE;
    if (c->done)
        return 0;
    if (shard_is_whole(c)) {
        r = visit_shard(c, &t);
    } else if (c->next == c->n_records) {
        r = visit_header(c, &t);
    } else {
        record = c->records[c->next++];
        if (c->shard.n_entries == 0) {
            c->shard.number = shard_of(record->number);
            c->shard.generation = c->shards[c->shard.number];
        }
        c->shard.entries[c->shard.n_entries++] =
            (ShardEntry){record->number, record->public.generation};
        r = visit_record(&t, record);
    }
    return r != 0 ? r : 1;
}

StoreCopy *store_copy_free(StoreCopy *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->n_records; i++)
        record_free(c->records[i]);
    free(c->records);
    shard_done(&c->shard);
    header_done(&c->header);
    free(c);
    return NULL;
}

/* The header of the store, but for what a copy has of its own. */
static int copy_header(StoreCopy *c, const Store *s)
{
    c->header = s->header;
    c->header.slots = json_object_get(s->header.slots);
    memcpy(c->shards, s->header.shards, sizeof(c->shards));
    memset(c->header.shards, 0, sizeof(c->header.shards));
    c->header.counter = (RollbackCounter){.present = false};
    return store_make_id((HEADER_ID_SIZE - 1) / 2, c->header.image);
}

int store_copy_new(Store *s, StoreChoose choose, void *userdata, StoreCopy **ret)
{
    _cleanup_(store_copy_freep) StoreCopy *c = NULL;
    int r;

    if (store_is_copy(s))
        return -EROFS;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    r = copy_header(c, s);
    if (r < 0)
        return r;
    c->records = calloc(s->n_records + 1, sizeof(*c->records));
    c->shard.entries = calloc(s->n_records + 1, sizeof(*c->shard.entries));
    if (!c->records || !c->shard.entries)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_records; i++)
        if (s->records[i]->public.error == 0 && choose(&s->records[i]->public, userdata))
            c->records[c->n_records++] = record_share(s->records[i]);
    *ret = TAKE_PTR(c);
    return 0;
}
