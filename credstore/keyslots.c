/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/json.h"
#include "credstore/box.h"
#include "credstore/keyslots.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"

#define SLOT_ID_BYTES ((SLOT_ID_SIZE - 1) / 2)
/* "nvme-keyd slot ", the ids of store and slot, and the name of a type. */
#define WRAP_AAD_SIZE 128

static const char *slot_member(json_object *slot, const char *key)
{
    const char *s;

    return json_get_string(slot, key, &s) > 0 ? s : NULL;
}

/* Formats the data that the wrapped key is bound to; returns its length. */
static int format_aad(const char *store_id, json_object *slot, char ret[static WRAP_AAD_SIZE])
{
    const char *type = slot_member(slot, "type"), *id = slot_member(slot, "id");
    int n;

    if (!type || !id)
        return -EBADMSG;
    n = snprintf(ret, WRAP_AAD_SIZE, "nvme-keyd slot %s %s %s", store_id, id, type);
    return n < WRAP_AAD_SIZE ? n : -EBADMSG;
}

int keyslots_wrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                  const Secret *key)
{
    _cleanup_(freep) SealedBox *box = NULL;
    _cleanup_(freep) char *text = NULL;
    char aad[WRAP_AAD_SIZE];
    int n = format_aad(store_id, slot, aad), r;

    if (n < 0 || kek->size != STORE_KEY_SIZE)
        return -EINVAL;
    r = sealer_seal(s, kek->data, aad, (size_t)n, key, &box);
    if (r < 0)
        return r;
    text = malloc(box_length(key->size) + 1);
    if (!text)
        return -ENOMEM;
    *box_write(text, box) = '\0';
    return json_add_take(slot, "wrapped", json_tokener_parse(text));
}

static int unwrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                  Secret **ret)
{
    _cleanup_(freep) SealedBox *box = NULL;
    _cleanup_(freep) char *text = NULL;
    char aad[WRAP_AAD_SIZE];
    json_object *wrapped;
    int n = format_aad(store_id, slot, aad), r;

    if (n < 0 || json_get_object(slot, "wrapped", &wrapped) <= 0 || kek->size != STORE_KEY_SIZE)
        return -EBADMSG;
    r = json_format(wrapped, &text);
    if (!text)
        return r;
    r = box_parse(text, strlen(text), &box);
    if (!box)
        return r;
    if (box->size != STORE_KEY_SIZE)
        return -EBADMSG;
    r = sealer_unseal(s, kek->data, aad, (size_t)n, box, ret);
    return r == -EBADMSG ? -EKEYREJECTED : r;
}

static const SlotType *find_type(const char *name)
{
    const SlotType *const *type = slot_types;

    while (*type && (!name || strcmp((*type)->name, name) != 0))
        type++;
    return *type;
}

json_object *keyslots_find(json_object *slots, const char *id)
{
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);
        const char *own = slot_member(slot, "id");

        if (own && strcmp(own, id) == 0)
            return slot;
    }
    return NULL;
}

static int new_slot(const SlotType *type, const char *id, const char *comment, json_object **ret)
{
    _cleanup_(json_putp) json_object *slot = json_object_new_object();
    _cleanup_(secret_freep) Secret *random = NULL;
    char text[SLOT_ID_SIZE];
    int r;

    r = secret_random(SLOT_ID_BYTES, &random);
    if (r < 0)
        return r;
    hex_encode(random->data, random->size, text);
    if (!slot || json_add_string(slot, "type", type->name) < 0 ||
        json_add_string(slot, "id", id ? id : text) < 0 ||
        json_add_uint(slot, "created", now_realtime()) < 0 ||
        (comment && json_add_string(slot, "comment", comment) < 0))
        return -ENOMEM;
    *ret = TAKE_PTR(slot);
    return 0;
}

int keyslots_new(const char *type_name, const char *id, const char *comment, json_object **ret_slot,
                 Secret **ret_kek, char **reterr_detail)
{
    const SlotType *type = find_type(type_name);
    _cleanup_(secret_freep) Secret *kek = NULL;
    int r;

    if (!type)
        return detail_set(reterr_detail, -EINVAL, "there are no slots of type \"%s\"", type_name);
    r = secret_random(STORE_KEY_SIZE, &kek);
    if (r == 0)
        r = new_slot(type, id, comment, ret_slot);
    if (r == 0)
        *ret_kek = TAKE_PTR(kek);
    return r;
}

const SlotType *keyslots_automatic_type(size_t n)
{
    for (const SlotType *const *type = slot_types; *type; type++)
        if ((*type)->usable && n-- == 0)
            return *type;
    return NULL;
}

json_object *keyslots_nth(json_object *slots, size_t n)
{
    size_t total = json_object_array_length(slots);
    const SlotType *const *type = slot_types;

    /* Slots of unknown types come last, after all types. */
    for (bool end = false; !end; type++) {
        end = !*type;
        for (size_t i = 0; i < total; i++) {
            json_object *slot = json_object_array_get_idx(slots, i);

            if (find_type(slot_member(slot, "type")) == *type && n-- == 0)
                return slot;
        }
    }
    return NULL;
}

/* Copies the id of a slot whose key was unwrapped, so it has one. */
static int take_id(json_object *slot, char ret[static SLOT_ID_SIZE])
{
    const char *id = slot_member(slot, "id");

    if (!id || strlen(id) >= SLOT_ID_SIZE)
        return -EBADMSG;
    strcpy(ret, id);
    return 0;
}

bool keyslots_knows(json_object *slot)
{
    return find_type(slot_member(slot, "type"));
}

int keyslots_unwrap(Sealer *s, const char *store_id, json_object *slot, const Secret *kek,
                    Secret **ret_key, char ret_id[static SLOT_ID_SIZE])
{
    int r = take_id(slot, ret_id);

    return r < 0 ? r : unwrap(s, store_id, slot, kek, ret_key);
}

int keyslots_unlock_with(Sealer *s, const Header *header, const char *type, const Secret *kek,
                         Secret **ret_key, char ret_id[static SLOT_ID_SIZE])
{
    int error = -ENOENT;

    for (size_t i = 0; i < json_object_array_length(header->slots); i++) {
        json_object *slot = json_object_array_get_idx(header->slots, i);
        const char *own = slot_member(slot, "type");

        if (!own || strcmp(own, type) != 0)
            continue;
        error = take_id(slot, ret_id);
        if (error == 0)
            error = unwrap(s, header->id, slot, kek, ret_key);
        if (error == 0 || error == -ENOMEM)
            return error;
        error = -EKEYREJECTED;
    }
    return error;
}
