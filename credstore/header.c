/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/header.h"
#include "credstore/limits.h"

#define FORMAT_NAME "nvme-keyd store"
#define FORMAT_VERSION 1
/* The header, slots, one slot, its wrapped key; a slot type may need two more. */
#define HEADER_JSON_DEPTH 6

void header_done(Header *header)
{
    json_object_put(header->slots);
    header->slots = NULL;
}

static bool id_valid(const char *id)
{
    return strlen(id) == HEADER_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == HEADER_ID_SIZE - 1;
}

static int check_version(json_object *o)
{
    const char *format;
    uint64_t version;

    if (json_get_string(o, "format", &format) <= 0 || strcmp(format, FORMAT_NAME) != 0 ||
        json_get_uint(o, "version", UINT32_MAX, &version) <= 0)
        return -EBADMSG;
    return version == FORMAT_VERSION ? 0 : version > FORMAT_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
}

static bool slots_valid(json_object *slots)
{
    size_t n = json_object_array_length(slots);

    if (n == 0 || n > STORE_SLOTS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!json_object_is_type(json_object_array_get_idx(slots, i), json_type_object))
            return false;
    return true;
}

int rollback_counter_parse(json_object *object, RollbackCounter *ret)
{
    RollbackCounter counter = {.present = object};

    if (object && (tpm2_counter_parse(object, &counter.tpm) < 0 ||
                   json_get_uint(object, "value", GENERATION_MAX, &counter.value) <= 0))
        return -EBADMSG;
    *ret = counter;
    return 0;
}

int rollback_counter_format(const RollbackCounter *counter, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    int r;

    *ret = NULL;
    if (!counter->present)
        return 0;
    o = json_object_new_object();
    if (!o)
        return -ENOMEM;
    r = tpm2_counter_format(&counter->tpm, o);
    if (r == 0)
        r = json_add_uint(o, "value", counter->value);
    if (r == 0)
        *ret = TAKE_PTR(o);
    return r;
}

static int parse_orphans(json_object *array, Header *header)
{
    size_t n = array ? json_object_array_length(array) : 0;

    if (n > STORE_ORPHANS_MAX)
        return -EBADMSG;
    for (; header->n_orphans < n; header->n_orphans++) {
        json_object *o = json_object_array_get_idx(array, header->n_orphans);

        if (!json_object_is_type(o, json_type_object) ||
            tpm2_counter_parse(o, &header->orphans[header->n_orphans]) < 0)
            return -EBADMSG;
    }
    return 0;
}

static int add_orphans(json_object *o, const Header *header)
{
    _cleanup_(json_putp) json_object *array = json_object_new_array();

    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < header->n_orphans; i++) {
        json_object *orphan = json_object_new_object();
        int r = json_append_take(array, orphan);

        if (r == 0)
            r = tpm2_counter_format(&header->orphans[i], orphan);
        if (r < 0)
            return r;
    }
    return header->n_orphans > 0 ? json_add_take(o, "orphanedCounters", TAKE_PTR(array)) : 0;
}

int header_parse(const char *line, size_t size, Header *ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    Header header = {.generation = 0};
    json_object *counter = NULL, *orphans = NULL;
    const char *id, *image = NULL;
    int r;

    r = json_parse(line, size, HEADER_JSON_DEPTH, &o);
    if (r < 0)
        return r;
    r = check_version(o);
    if (r < 0)
        return r;
    if (json_get_string(o, "id", &id) <= 0 || !id_valid(id) ||
        json_get_string(o, "image", &image) < 0 || (image && !id_valid(image)) ||
        json_get_uint(o, "generation", GENERATION_MAX, &header.generation) <= 0 ||
        json_get_array(o, "slots", &header.slots) <= 0 || !slots_valid(header.slots) ||
        json_get_object(o, "rollbackCounter", &counter) < 0 ||
        rollback_counter_parse(counter, &header.counter) < 0 ||
        json_get_array(o, "orphanedCounters", &orphans) < 0 || parse_orphans(orphans, &header) < 0)
        return -EBADMSG;

    memcpy(header.id, id, HEADER_ID_SIZE);
    if (image)
        memcpy(header.image, image, HEADER_ID_SIZE);
    json_object_get(header.slots);
    *ret = header;
    return 0;
}

int header_format(const Header *header, char **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *counter;
    int r;

    if (!o || json_add_string(o, "format", FORMAT_NAME) < 0 ||
        json_add_uint(o, "version", FORMAT_VERSION) < 0 ||
        json_add_string(o, "id", header->id) < 0 ||
        (header->image[0] && json_add_string(o, "image", header->image) < 0) ||
        json_add_uint(o, "generation", header->generation) < 0 ||
        json_add_take(o, "slots", json_object_get(header->slots)) < 0)
        return -ENOMEM;
    r = rollback_counter_format(&header->counter, &counter);
    if (r == 0 && counter)
        r = json_add_take(o, "rollbackCounter", counter);
    if (r == 0)
        r = add_orphans(o, header);
    return r < 0 ? r : json_format(o, ret);
}
