/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/limits.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"
#include "credstore/store-private.h"

/* A copy of the store with some of its records: the records as they are, and an index and a header
 * of its own, which fit nowhere else. */

/* Room for "records/ID.json". */
#define PATH_SIZE (sizeof("records/") + DIRS_NAME_SIZE)

typedef struct Copy {
    const Store *store;
    Header header; /* slots are borrowed from the store */
    const bool *chosen;
    StoreFile visit;
    void *userdata;
} Copy;

bool store_is_copy(const Store *s)
{
    return s->header.image[0] != '\0';
}

static int visit_signed(const Copy *c, const char *label, const char *path, const char *body,
                        size_t max)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    int r = signed_file_format(c->store->sealer, c->store->key, label, body, &text, &size);

    if (r < 0)
        return r;
    return size > max ? -E2BIG : c->visit(path, text, size, c->userdata);
}

static int visit_record(const Copy *c, const Record *record)
{
    _cleanup_(freep) char *text = NULL;
    char name[DIRS_NAME_SIZE], path[PATH_SIZE];
    size_t size;
    int r = record_format(record, &text, &size);

    if (r < 0)
        return r;
    dirs_record_name(record->number, "", name);
    (void)snprintf(path, sizeof(path), "records/%s", name);
    return c->visit(path, text, size, c->userdata);
}

static int visit_shard(const Copy *c, const Shard *shard)
{
    char name[DIRS_NAME_SIZE], path[PATH_SIZE], label[HEADER_SHARD_LABEL_SIZE];
    _cleanup_(freep) char *body = NULL;
    int r = shard_format(shard, &body);

    if (r < 0)
        return r;
    dirs_shard_name(shard->number, "", name);
    (void)snprintf(path, sizeof(path), "index/%s", name);
    header_shard_label(&c->header, label);
    return visit_signed(c, label, path, body, STORE_SHARD_MAX);
}

/* The chosen records of a shard, from the ith of the store on, and their index; *ret_next is the
 * first record of the next shard. */
static int visit_records(Copy *c, size_t i, size_t *ret_next)
{
    const Store *s = c->store;
    unsigned number = shard_of(s->records[i]->number);
    _cleanup_(shard_done) Shard shard = {
        .number = number,
        .generation = s->header.shards[number],
        .entries = calloc(s->n_records - i, sizeof(ShardEntry)),
    };
    int r;

    if (!shard.entries)
        return -ENOMEM;
    for (; i < s->n_records && shard_of(s->records[i]->number) == number; i++) {
        const Record *record = s->records[i];

        if (!c->chosen[i])
            continue;
        shard.entries[shard.n_entries++] = (ShardEntry){record->number, record->public.generation};
        r = visit_record(c, record);
        if (r != 0)
            return r;
    }
    *ret_next = i;
    if (shard.n_entries == 0)
        return 0;
    c->header.shards[number] = shard.generation;
    return visit_shard(c, &shard);
}

static int visit_all(Copy *c)
{
    _cleanup_(freep) char *body = NULL;
    int r;

    for (size_t i = 0; i < c->store->n_records;) {
        r = visit_records(c, i, &i);
        if (r != 0)
            return r;
    }
    r = header_format(&c->header, &body);
    return r < 0 ? r : visit_signed(c, SIGNED_LABEL_HEADER, DIRS_HEADER, body, STORE_HEADER_MAX);
}

int store_copy(Store *s, StoreChoose choose, StoreFile visit, void *userdata)
{
    _cleanup_(freep) bool *chosen = calloc(s->n_records + 1, sizeof(*chosen));
    Copy c = {
        .store = s, .header = s->header, .chosen = chosen, .visit = visit, .userdata = userdata};
    int r;

    if (!chosen)
        return -ENOMEM;
    if (store_is_copy(s))
        return -EROFS;
    r = store_make_id((HEADER_ID_SIZE - 1) / 2, c.header.image);
    if (r < 0)
        return r;
    memset(c.header.shards, 0, sizeof(c.header.shards));
    c.header.counter = (RollbackCounter){.present = false};
    for (size_t i = 0; i < s->n_records; i++)
        chosen[i] = s->records[i]->public.error == 0 && choose(&s->records[i]->public, userdata);
    return visit_all(&c);
}
