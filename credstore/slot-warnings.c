/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/slot-warnings.h"

/* "0, 1, ..., 23" */
#define NUMBERS_SIZE 96

static const char *text_of(json_object *slot, const char *key)
{
    const char *text;

    return json_get_string(slot, key, &text) > 0 ? text : "";
}

static size_t count_of(json_object *slot, const char *key)
{
    json_object *array;

    return json_get_array(slot, key, &array) > 0 ? json_object_array_length(array) : 0;
}

/* The condition under which a slot opens the store at boot. */
typedef enum Bound {
    BOUND,     /* only a boot that the PCRs allow */
    UNBOUND,   /* any boot of this machine */
    BY_PERSON, /* any: a person opens it, or unknown */
} Bound;

static Bound bound_of(json_object *slot)
{
    const char *type = text_of(slot, "type");

    if (strcmp(type, "tpm2") == 0)
        return count_of(slot, "pcrs") > 0 ? BOUND : UNBOUND;
    if (strcmp(type, "systemd-creds") != 0)
        return BY_PERSON;
    /* systemd-creds binds to no PCRs, except those of a signed policy. */
    type = creds_blob_key_name(slot);
    if (strcmp(type, CREDS_KEY_UNKNOWN) == 0)
        return BY_PERSON;
    return strstr(type, "public-key") ? BOUND : UNBOUND;
}

static int add_line(json_object *lines, const char *line)
{
    return json_append_take(lines, json_object_new_string(line));
}

/* The store is bound no better than by its weakest slot. */
static int add_unbound(json_object *lines, json_object *slot, json_object *bound)
{
    char line[256];

    (void)snprintf(
        line, sizeof(line),
        "slot %.8s (%s) is bound to no PCR: any boot of this machine opens the store by it, "
        "whatever slot %.8s (%s) is bound to",
        text_of(slot, "id"), text_of(slot, "type"), text_of(bound, "id"), text_of(bound, "type"));
    return add_line(lines, line);
}

static void format_numbers(json_object *pcrs, char ret[static NUMBERS_SIZE])
{
    size_t n = 0;

    ret[0] = '\0';
    for (size_t i = 0; i < json_object_array_length(pcrs) && n < NUMBERS_SIZE; i++)
        n += (size_t)snprintf(ret + n, NUMBERS_SIZE - n, "%s%d", i > 0 ? ", " : "",
                              json_object_get_int(json_object_array_get_idx(pcrs, i)));
}

static int add_unmeasured(json_object *lines, json_object *slot)
{
    char numbers[NUMBERS_SIZE], line[384];
    json_object *pcrs;
    bool all;

    if (json_get_array(slot, "unmeasured", &pcrs) <= 0 || json_object_array_length(pcrs) == 0)
        return 0;
    all = json_object_array_length(pcrs) == count_of(slot, "pcrs");
    format_numbers(pcrs, numbers);
    (void)snprintf(line, sizeof(line),
                   "slot %.8s (tpm2) was sealed while nothing was measured into PCR%s %s (%.8s), "
                   "so it is %s what this machine boots",
                   text_of(slot, "id"), json_object_array_length(pcrs) > 1 ? "s" : "", numbers,
                   text_of(slot, "bank"), all ? "not bound to" : "bound only to a part of");
    return add_line(lines, line);
}

static json_object *find_bound(json_object *slots)
{
    for (size_t i = 0; i < json_object_array_length(slots); i++)
        if (bound_of(json_object_array_get_idx(slots, i)) == BOUND)
            return json_object_array_get_idx(slots, i);
    return NULL;
}

/* only: the slot to warn of, or NULL for all. */
static int add_warnings(json_object *lines, json_object *slots, json_object *only, bool is_new)
{
    json_object *bound = only && bound_of(only) == BOUND ? only : find_bound(slots);
    int r = 0;

    for (size_t i = 0; i < json_object_array_length(slots) && r == 0; i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (!only || slot == only)
            r = add_unmeasured(lines, slot);
        if (r == 0 && bound && bound_of(slot) == UNBOUND &&
            (!only || (is_new && (slot == only || bound == only))))
            r = add_unbound(lines, slot, bound);
    }
    return r;
}

static int make_warnings(json_object *slots, json_object *only, bool is_new, json_object **ret)
{
    _cleanup_(json_putp) json_object *lines = json_object_new_array();
    int r = lines ? add_warnings(lines, slots, only, is_new) : -ENOMEM;

    if (r == 0)
        *ret = TAKE_PTR(lines);
    return r;
}

int slot_warnings(json_object *slots, json_object **ret)
{
    return make_warnings(slots, NULL, true, ret);
}

int slot_warnings_of(json_object *slots, const char *id, bool is_new, json_object **ret)
{
    json_object *only = NULL;

    for (size_t i = 0; i < json_object_array_length(slots); i++)
        if (strcmp(text_of(json_object_array_get_idx(slots, i), "id"), id) == 0)
            only = json_object_array_get_idx(slots, i);
    return only ? make_warnings(slots, only, is_new, ret) : -ENOENT;
}
