/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/dirs.h"
#include "credstore/header.h"
#include "credstore/limits.h"
#include "credstore/record.h"
#include "credstore/seal/limits.h"

#define RECORD_VERSION 1
/* Line 1 and 15 levels of metadata. */
#define RECORD_JSON_DEPTH 16

Record *record_share(Record *record)
{
    record->more_owners++;
    return record;
}

Record *record_free(Record *record)
{
    if (!record)
        return NULL;
    if (record->more_owners > 0) {
        record->more_owners--;
        return NULL;
    }

    json_object_put(record->public.meta);
    free(record->line);
    free(record->box);
    free(record);
    return NULL;
}

int record_split(const char *text, size_t size, size_t *ret_line_size, SealedBox **ret_box)
{
    const char *newline = memchr(text, '\n', size);
    size_t rest;
    int r;

    if (!newline)
        return -EBADMSG;
    rest = size - (size_t)(newline + 1 - text);
    if (rest == 0 || text[size - 1] != '\n')
        return -EBADMSG;
    r = box_parse(newline + 1, rest - 1, ret_box);
    if (r < 0)
        return r;

    *ret_line_size = (size_t)(newline - text);
    return 0;
}

int record_parse_line(const char *line, size_t size, uint64_t *ret_id, uint64_t *ret_generation,
                      json_object **ret_meta)
{
    _cleanup_(json_putp) json_object *o = NULL;
    uint64_t version, number, generation;
    json_object *meta;
    const char *id;
    int r;

    r = json_parse(line, size, RECORD_JSON_DEPTH, &o);
    if (r < 0)
        return r;
    if (json_get_uint(o, "version", UINT32_MAX, &version) <= 0 || version != RECORD_VERSION ||
        json_get_string(o, "id", &id) <= 0 || !record_id_parse(id, &number) ||
        json_get_uint(o, "generation", GENERATION_MAX, &generation) <= 0 || generation == 0 ||
        json_get_object(o, "meta", &meta) <= 0)
        return -EBADMSG;

    *ret_id = number;
    *ret_generation = generation;
    *ret_meta = json_object_get(meta);
    return 0;
}

static int record_new(uint64_t id, uint64_t generation, Record **ret)
{
    Record *record = calloc(1, sizeof(*record));

    if (!record)
        return -ENOMEM;
    record->number = id;
    record->public.generation = generation;
    record_id_format(id, record->public.id);
    *ret = record;
    return 0;
}

int record_new_broken(uint64_t id, uint64_t generation, int error, Record **ret)
{
    int r = record_new(id, generation, ret);

    if (r == 0)
        (*ret)->public.error = error;
    return r;
}

static int derive_key(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      uint8_t ret[static STORE_KEY_SIZE])
{
    char info[64];

    snprintf(info, sizeof(info), "nvme-keyd record %016" PRIx64 " %" PRIu64, id, generation);
    return sealer_derive(s, key, info, ret);
}

static int unseal(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *line,
                  size_t line_size, const SealedBox *box, Secret **ret)
{
    uint8_t record_key[STORE_KEY_SIZE];
    CLEANUP_ERASE(record_key);
    int r = derive_key(s, key, id, generation, record_key);

    if (r < 0)
        return r;
    return sealer_unseal(s, record_key, line, line_size, box, ret);
}

/* What json-c prints is one line, but a caller may bring a serializer of its own. */
static int format_line(uint64_t id, uint64_t generation, json_object *meta, char **ret)
{
    const char *text = json_object_to_json_string_ext(meta, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    char *line;

    if (!text)
        return -ENOMEM;
    if (strchr(text, '\n'))
        return -EINVAL;
    if (asprintf(&line,
                 "{\"version\":%d,\"id\":\"%016" PRIx64 "\",\"generation\":%" PRIu64
                 ",\"meta\":%s}",
                 RECORD_VERSION, id, generation, text) < 0)
        return -ENOMEM;

    *ret = line;
    return 0;
}

int record_new_sealed(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      json_object *meta, const Secret *secret, Record **ret)
{
    _cleanup_(record_freep) Record *record = NULL;
    uint8_t record_key[STORE_KEY_SIZE];
    CLEANUP_ERASE(record_key);
    int r;

    if (secret->size == 0)
        return -EINVAL;
    r = record_new(id, generation, &record);
    if (r < 0)
        return r;
    r = format_line(id, generation, meta, &record->line);
    if (r < 0)
        return r;
    record->line_size = strlen(record->line);
    if (secret->size > STORE_RECORD_MAX ||
        record->line_size + box_length(secret->size) + 2 > STORE_RECORD_MAX)
        return -E2BIG;

    /* The copy is what a reader will make of it. */
    r = record_parse_line(record->line, record->line_size, &id, &generation, &record->public.meta);
    if (r < 0)
        return r == -EBADMSG ? -EINVAL : r;
    r = derive_key(s, key, id, generation, record_key);
    if (r < 0)
        return r;
    r = sealer_seal(s, record_key, record->line, record->line_size, secret, &record->box);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(record);
    return 0;
}

/* Fills in what an authentic text holds. Returns -EBADMSG when it is not of this id and generation.
 */
static int load_current(Sealer *s, const Secret *key, Record *record, const char *text)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    uint64_t id, generation;
    int r;

    r = unseal(s, key, record->number, record->public.generation, text, record->line_size,
               record->box, &secret);
    if (r < 0)
        return r;
    r = record_parse_line(text, record->line_size, &id, &generation, &record->public.meta);
    if (r < 0)
        return r;
    if (id != record->number || generation != record->public.generation)
        return -EBADMSG;

    record->line = malloc(record->line_size);
    if (!record->line)
        return -ENOMEM;
    memcpy(record->line, text, record->line_size);
    return 0;
}

/* Whether a text that is not current is an authentic one of another generation: -ESTALE. */
static int load_other(Sealer *s, const Secret *key, Record *record, const char *text)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    _cleanup_(json_putp) json_object *meta = NULL;
    uint64_t id, generation;
    int r;

    r = record_parse_line(text, record->line_size, &id, &generation, &meta);
    if (r < 0)
        return r;
    if (id != record->number)
        return -EBADMSG;
    r = unseal(s, key, id, generation, text, record->line_size, record->box, &secret);
    if (r < 0)
        return r;

    if (generation > record->public.generation)
        record->public.generation = generation;
    return -ESTALE;
}

int record_load(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *text,
                size_t size, Record **ret)
{
    _cleanup_(record_freep) Record *record = NULL;
    int r = record_new(id, generation, &record);

    if (r < 0)
        return r;
    r = record_split(text, size, &record->line_size, &record->box);
    if (r == 0)
        r = generation > 0 ? load_current(s, key, record, text) : -EBADMSG;
    if (r == -EBADMSG && record->box)
        r = load_other(s, key, record, text);
    if (r < 0 && r != -EBADMSG && r != -ESTALE)
        return r;

    if (r < 0) {
        json_object_put(TAKE_PTR(record->public.meta));
        record->public.error = r;
    }
    *ret = TAKE_PTR(record);
    return 0;
}

int record_unseal(Sealer *s, const Secret *key, const Record *record, Secret **ret)
{
    if (record->public.error < 0)
        return record->public.error;
    return unseal(s, key, record->number, record->public.generation, record->line,
                  record->line_size, record->box, ret);
}

int record_format(const Record *record, char **ret, size_t *ret_size)
{
    _cleanup_(freep) char *box = NULL;
    int n, r = box_format(record->box, &box);

    if (r < 0)
        return r;
    n = asprintf(ret, "%.*s\n%s\n", (int)record->line_size, record->line, box);
    if (n < 0)
        return -ENOMEM;

    *ret_size = (size_t)n;
    return 0;
}
