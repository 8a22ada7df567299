/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "credstore/store-slots.h"
#include "credstore/transaction.h"

/* Slots come, go and are replaced by a commit of their own, of nothing but the header. */

/* A slot, its wrapped key; a slot type may need two more. */
#define SLOT_JSON_DEPTH 4

static const char *slot_type(json_object *slot)
{
    const char *type;

    return json_get_string(slot, "type", &type) > 0 ? type : "";
}

static bool needs_somebody(json_object *slot)
{
    return strcmp(slot_type(slot), "recovery") == 0;
}

int slots_pack(json_object *slot, Secret **ret)
{
    const char *text = json_object_to_json_string_ext(slot, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);

    *ret = text ? secret_new_copy(text, strlen(text)) : NULL;
    return *ret ? 0 : -ENOMEM;
}

int slots_unpack(const Secret *packed, json_object **ret)
{
    return json_parse((const char *)packed->data, packed->size, SLOT_JSON_DEPTH, ret);
}

int store_seal_slot(const Store *s, const char *type, const char *id, const SlotOptions *options,
                    Secret **ret, Secret **ret_recovery_key, char **reterr_detail)
{
    _cleanup_(json_putp) json_object *slot = NULL;
    _cleanup_(secret_freep) Secret *kek = NULL;
    int r;

    r = keyslots_make(s->sealer, s->header.id, s->key, type, id, options, &slot, &kek,
                      reterr_detail);
    if (r < 0)
        return r;
    r = slots_pack(slot, ret);
    if (r < 0)
        return r;

    *ret_recovery_key = needs_somebody(slot) ? TAKE_PTR(kek) : NULL;
    return 0;
}

/* Copies the slots with one put in its place or appended, or with that of an id left out. */
static int change_slots(json_object *slots, json_object *put, const char *id, json_object **ret)
{
    _cleanup_(json_putp) json_object *copy = json_object_new_array();
    const json_object *place = keyslots_find(slots, id);
    bool done = false;

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (slot == place) {
            slot = put;
            done = true;
        }
        if (slot && json_append_take(copy, json_object_get(slot)) < 0)
            return -ENOMEM;
    }
    if (put && !done && json_append_take(copy, json_object_get(put)) < 0)
        return -ENOMEM;
    if (json_object_array_length(copy) > STORE_SLOTS_MAX)
        return -E2BIG;
    *ret = TAKE_PTR(copy);
    return 0;
}

static int commit_slots(Store *s, json_object *put, const char *id)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    int r = store_begin(s, &t);

    if (r < 0)
        return r;
    r = change_slots(s->header.slots, put, id, &t->slots);
    return r < 0 ? r : store_commit(t);
}

int store_put_slot(Store *s, const Secret *slot, char ret_id[static SLOT_ID_SIZE])
{
    _cleanup_(json_putp) json_object *o = NULL;
    const char *id;
    int r;

    r = slots_unpack(slot, &o);
    if (r < 0)
        return r;
    if (json_get_string(o, "id", &id) <= 0 || strlen(id) >= SLOT_ID_SIZE)
        return -EBADMSG;
    r = commit_slots(s, o, id);
    if (r == 0)
        strcpy(ret_id, id);
    return r;
}

/* How many slots there are without one: all, and those that need nobody. */
static void count_others(json_object *slots, const json_object *without, size_t *ret_all,
                         size_t *ret_automatic)
{
    *ret_all = *ret_automatic = 0;
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (slot == without)
            continue;
        ++*ret_all;
        *ret_automatic += !needs_somebody(slot);
    }
}

int store_remove_slot(Store *s, const char *id, bool force)
{
    json_object *slot = keyslots_find(s->header.slots, id);
    size_t all, automatic;

    if (!slot)
        return -ENOENT;
    count_others(s->header.slots, slot, &all, &automatic);
    if (all == 0 || (automatic == 0 && !needs_somebody(slot) && !force))
        return -EPERM;
    return commit_slots(s, NULL, id);
}

json_object *store_slots(const Store *s)
{
    return s->header.slots;
}

bool store_is_open(const Store *s)
{
    return s->key;
}

json_object *store_opened_by(const Store *s)
{
    return s->opened_by[0] ? keyslots_find(s->header.slots, s->opened_by)
                           : json_object_array_get_idx(s->header.slots, 0);
}

const char *store_slot_type(const Store *s)
{
    json_object *slot = store_opened_by(s);

    return slot ? slot_type(slot) : "removed";
}
