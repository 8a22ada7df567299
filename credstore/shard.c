/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "basic/json.h"
#include "credstore/dirs.h"
#include "credstore/shard.h"

/* The shard and its list of records. */
#define SHARD_JSON_DEPTH 3

void shard_done(Shard *shard)
{
    free(shard->entries);
    shard->entries = NULL;
}

static bool parse_entry(const char *key, json_object *value, const Shard *shard, ShardEntry *ret)
{
    int64_t generation;

    if (!record_id_parse(key, &ret->id) || shard_of(ret->id) != shard->number ||
        (shard->n_entries > 0 && shard->entries[shard->n_entries - 1].id >= ret->id) ||
        !json_object_is_type(value, json_type_int))
        return false;
    generation = json_object_get_int64(value);
    if (generation < 1 || (uint64_t)generation > GENERATION_MAX)
        return false;
    ret->generation = (uint64_t)generation;
    return true;
}

static int parse_entries(json_object *records, Shard *shard)
{
    shard->entries = calloc((size_t)json_object_object_length(records) + 1, sizeof(ShardEntry));
    if (!shard->entries)
        return -ENOMEM;
    json_object_object_foreach (records, key, value) {
        if (!parse_entry(key, value, shard, &shard->entries[shard->n_entries]))
            return -EBADMSG;
        shard->n_entries++;
    }
    return 0;
}

int shard_parse(const char *body, size_t size, unsigned number, Shard *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    _cleanup_(shard_done) Shard shard = {.number = number};
    json_object *records;
    uint64_t n;
    int r;

    r = json_parse(body, size, SHARD_JSON_DEPTH, &o);
    if (r < 0)
        return r;
    if (json_get_uint(o, "shard", STORE_SHARDS - 1, &n) <= 0 || n != number ||
        json_get_uint(o, "generation", GENERATION_MAX, &shard.generation) <= 0 ||
        json_get_object(o, "records", &records) <= 0)
        return -EBADMSG;
    r = parse_entries(records, &shard);
    if (r < 0)
        return r;

    *ret = shard;
    shard.entries = NULL;
    return 0;
}

int shard_format(const Shard *shard, char **ret)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    bool bad;

    if (!f)
        return -ENOMEM;

    fprintf(f, "{\"shard\":%u,\"generation\":%" PRIu64 ",\"records\":{", shard->number,
            shard->generation);
    for (size_t i = 0; i < shard->n_entries; i++)
        fprintf(f, "%s\"%016" PRIx64 "\":%" PRIu64, i > 0 ? "," : "", shard->entries[i].id,
                shard->entries[i].generation);
    fputs("}}", f);

    bad = ferror(f);
    if (fclose(f) != 0 || bad)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    return 0;
}
