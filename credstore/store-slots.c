/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/json.h"
#include "credstore/seal/helper.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/blob.h"
#include "credstore/store-counter.h"
#include "credstore/store-slots.h"
#include "credstore/transaction.h"

/* Slots are added, removed and replaced by a commit of their own that changes only the header. */

/* A slot, its wrapped key; a slot type may need two more. */
#define SLOT_JSON_DEPTH 4

bool store_has_slot_type(const char *type)
{
    const SlotType *const *t = slot_types;

    while (*t && strcmp((*t)->name, type) != 0)
        t++;
    return *t;
}

static const char *slot_type(json_object *slot)
{
    const char *type;

    return json_get_string(slot, "type", &type) > 0 ? type : "";
}

static bool needs_person(json_object *slot)
{
    return strcmp(slot_type(slot), "recovery") == 0;
}

static int slots_pack(json_object *slot, Secret **ret)
{
    _cleanup_(freep) char *text = NULL;

    *ret = json_format(slot, &text) == 0 ? secret_new_copy(text, strlen(text)) : NULL;
    return *ret ? 0 : -ENOMEM;
}

int slots_unpack(const Secret *packed, json_object **ret)
{
    return packed ? json_parse((const char *)packed->data, packed->size, SLOT_JSON_DEPTH, ret)
                  : -EBADMSG;
}

/* Returns false if a slot names no storage root key. */
static bool read_srk_name(json_object *slot, Tpm2Name *ret)
{
    return strcmp(slot_type(slot), "tpm2") == 0 &&
           tpm2_blob_get(slot, "srkName", ret->data, sizeof(ret->data), &ret->size) == 0;
}

static void slots_known_tpms(const Store *s, Tpm2Names *ret)
{
    json_object *slots = s->header.slots;

    ret->n = 0;
    for (size_t i = 0; i < json_object_array_length(slots) && i < STORE_SLOTS_MAX; i++)
        ret->n += read_srk_name(json_object_array_get_idx(slots, i), &ret->names[ret->n]);
    if (s->header.counter.present)
        ret->names[ret->n++] = s->header.counter.tpm.srk_name;
}

bool store_is_new_tpm(const Store *s, const Secret *slot)
{
    _cleanup_(json_putp) json_object *o = NULL;
    Tpm2Names known;
    Tpm2Name name;

    slots_known_tpms(s, &known);
    if (known.n == 0 || slots_unpack(slot, &o) < 0 || !read_srk_name(o, &name))
        return false;
    for (size_t i = 0; i < known.n; i++)
        if (known.names[i].size == name.size &&
            memcmp(known.names[i].data, name.data, name.size) == 0)
            return false;
    return true;
}

/* A new counter travels as a member of the slot that it was made with; the member is not written.
 */
#define COUNTER_MEMBER "rollbackCounter"

static int check_counter(const Store *s, const char *type, char **reterr_detail)
{
    if (strcmp(type, "tpm2") != 0)
        return detail_set(reterr_detail, -EINVAL,
                          "a rollback counter goes with a slot of type tpm2");
    if (s->counter_checked)
        return detail_set(reterr_detail, -EEXIST, "the store has a rollback counter already");
    return 0;
}

int store_request_seal(const Store *s, const char *type, const char *id, const SlotOptions *options,
                       Secret **ret, Secret **ret_kek, char **reterr_detail)
{
    SealRequest q = {.work = SEAL_WORK_SEAL, .options = *options};
    _cleanup_(json_putp) json_object *slot = NULL;
    _cleanup_(secret_freep) Secret *kek = NULL;
    Tpm2Names known;
    int r = options->rollback_counter ? check_counter(s, type, reterr_detail) : 0;

    if (r == 0)
        r = keyslots_new(type, id, options->comment, &slot, &kek, reterr_detail);
    if (r < 0)
        return r;
    slots_known_tpms(s, &known);
    q.options.known_tpms = &known;
    q.slot = slot;
    q.secret = kek;
    r = seal_request_pack(&q, ret);
    if (r == 0)
        *ret_kek = TAKE_PTR(kek);
    return r;
}

int store_wrap_slot(const Store *s, const Secret *sealed, const Secret *kek, Secret **ret)
{
    _cleanup_(json_putp) json_object *slot = NULL;
    int r = slots_unpack(sealed, &slot);

    if (r == 0)
        r = keyslots_wrap(s->sealer, s->header.id, slot, kek, s->key);
    return r < 0 ? r : slots_pack(slot, ret);
}

int store_request_new_counter(Store *s, const Secret *slot, Secret **ret)
{
    _cleanup_(json_putp) json_object *o = NULL;
    Tpm2Name srk_name;
    int r = slots_unpack(slot, &o);

    if (r < 0)
        return r;
    return read_srk_name(o, &srk_name) ? store_counter_plan(s, &srk_name, ret) : -EBADMSG;
}

int store_add_counter(const Secret *slot, const Secret *made, Secret **ret)
{
    RollbackCounter counter = {.present = true};
    _cleanup_(json_putp) json_object *o = NULL;
    json_object *member = NULL;
    const SealedCounter *sealed;
    int r;

    if (!made || made->size != sizeof(*sealed))
        return -EBADMSG;
    r = slots_unpack(slot, &o);
    if (r < 0)
        return r;
    sealed = (const SealedCounter *)(const void *)made->data;
    counter.tpm = sealed->counter;
    counter.value = sealed->value;
    r = rollback_counter_format(&counter, &member);
    if (r == 0)
        r = json_add_take(o, COUNTER_MEMBER, member);
    return r < 0 ? r : slots_pack(o, ret);
}

/* Copies the slots with one replaced or appended, or with the one of an id left out. */
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

static int commit_slots(Store *s, json_object *put, const char *id, const RollbackCounter *counter)
{
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    json_object *slots;
    int r = store_begin(s, &t);

    if (r < 0)
        return r;
    r = change_slots(s->header.slots, put, id, &slots);
    if (r < 0)
        return r;
    json_object_put(t->header.slots);
    t->header.slots = slots;
    t->header_changed = true;
    if (counter)
        transaction_set_counter(t, counter);
    return store_commit(t);
}

int store_put_slot(Store *s, const Secret *slot, char ret_id[static SLOT_ID_SIZE])
{
    _cleanup_(json_putp) json_object *o = NULL;
    RollbackCounter counter = {.present = false};
    json_object *made = NULL;
    bool was_proven;
    const char *id;
    int r;

    r = slots_unpack(slot, &o);
    if (r < 0)
        return r;
    if (json_get_string(o, "id", &id) <= 0 || strlen(id) >= SLOT_ID_SIZE)
        return -EBADMSG;
    if (json_get_object(o, COUNTER_MEMBER, &made) < 0 || rollback_counter_parse(made, &counter) < 0)
        return -EBADMSG;
    json_object_object_del(o, COUNTER_MEMBER);
    /* Proven before the commit, because nothing may fail after it. */
    was_proven = json_object_object_get_ex(s->proven, id, NULL);
    r = slots_prove(s, id);
    if (r == 0)
        r = commit_slots(s, o, id, counter.present ? &counter : NULL);
    if (r == 0)
        strcpy(ret_id, id);
    else if (!was_proven)
        json_object_object_del(s->proven, id);
    return r;
}

int slots_prove(Store *s, const char *id)
{
    return json_add_bool(s->proven, id, true);
}

static bool is_proven(const Store *s, json_object *slot)
{
    const char *id;

    return json_get_string(slot, "id", &id) > 0 && json_object_object_get_ex(s->proven, id, NULL);
}

/* True if another slot is known to open the store. If this slot is known to open it without a
 * person, the other one must be too. */
static bool is_dispensable(const Store *s, json_object *slot)
{
    bool automatic = is_proven(s, slot) && !needs_person(slot);

    for (size_t i = 0; i < json_object_array_length(s->header.slots); i++) {
        json_object *other = json_object_array_get_idx(s->header.slots, i);

        if (other != slot && is_proven(s, other) && !(automatic && needs_person(other)))
            return true;
    }
    return false;
}

/* True if this is the last slot of the TPM; the counter is removed with it. */
static bool is_last_of_tpm(const Store *s, const json_object *without)
{
    json_object *slots = s->header.slots;

    if (!s->header.counter.present)
        return false;
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i);

        if (slot != without && strcmp(slot_type(slot), "tpm2") == 0)
            return false;
    }
    return true;
}

int store_remove_slot(Store *s, const char *id, bool force)
{
    static const RollbackCounter no_counter = {.present = false};
    json_object *slot = keyslots_find(s->header.slots, id);

    if (!slot)
        return -ENOENT;
    if (json_object_array_length(s->header.slots) == 1 || (!force && !is_dispensable(s, slot)))
        return -EPERM;
    return commit_slots(s, NULL, id, is_last_of_tpm(s, slot) ? &no_counter : NULL);
}

json_object *store_slots(const Store *s)
{
    return s->header.slots;
}

json_object *store_find_slot(const Store *s, const char *id)
{
    return keyslots_find(s->header.slots, id);
}

const char *store_nth_slot_type(const Store *s, size_t nth)
{
    json_object *slot = keyslots_nth(s->header.slots, nth);

    return slot ? slot_type(slot) : NULL;
}

bool store_opens_by_itself(const Store *s)
{
    for (size_t i = 0; i < json_object_array_length(s->header.slots); i++) {
        json_object *slot = json_object_array_get_idx(s->header.slots, i);

        if (is_proven(s, slot) && !needs_person(slot))
            return true;
    }
    return false;
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
