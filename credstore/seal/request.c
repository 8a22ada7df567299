/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/request.h"

/* The slot, its wrapped key, and two levels more for members of a slot type. */
#define SLOT_JSON_DEPTH 4

enum {
    FLAG_PCRS_GIVEN = 1 << 0,
    FLAG_BANK_KEPT = 1 << 1,
    FLAG_NEW_TPM = 1 << 2,
    FLAG_SKIP_GIVEN = 1 << 3,
    FLAG_ALLOW_NULL_KEY = 1 << 4,
    FLAG_BANK = 1 << 5,
    FLAG_WITH_KEY = 1 << 6,
};

static int pack_text(char *to, size_t size, const char *text)
{
    if (text && strlen(text) >= size)
        return -E2BIG;
    if (text)
        strcpy(to, text);
    return 0;
}

static int pack_options(const SlotOptions *o, RequestHead *h)
{
    int r = pack_text(h->bank, sizeof(h->bank), o->bank);

    h->flags = (o->pcrs_given ? FLAG_PCRS_GIVEN : 0) | (o->bank_kept ? FLAG_BANK_KEPT : 0) |
               (o->new_tpm ? FLAG_NEW_TPM : 0) | (o->skip_given ? FLAG_SKIP_GIVEN : 0) |
               (o->allow_null_key ? FLAG_ALLOW_NULL_KEY : 0) | (o->bank ? FLAG_BANK : 0) |
               (o->with_key ? FLAG_WITH_KEY : 0);
    h->pcrs = o->pcrs;
    h->closed_ways = o->closed_ways;
    if (o->known_tpms) {
        h->n_known = (uint32_t)o->known_tpms->n;
        memcpy(h->known, o->known_tpms->names, h->n_known * sizeof(h->known[0]));
    }
    return r < 0 ? r : pack_text(h->with_key, sizeof(h->with_key), o->with_key);
}

int seal_request_pack(const SealRequest *q, Secret **ret)
{
    size_t secret_size = q->secret ? q->secret->size : 0, slot_size;
    _cleanup_(secret_freep) Secret *packed = NULL;
    _cleanup_(freep) char *slot = NULL;
    RequestHead h = {.work = q->work,
                     .value = q->value,
                     .secret_size = (uint32_t)secret_size,
                     .counter = q->counter};
    int r = pack_options(&q->options, &h);

    if (r == 0 && q->slot)
        r = json_format(q->slot, &slot);
    if (r < 0)
        return r;
    slot_size = slot ? strlen(slot) : 0;
    memcpy(h.owner, q->owner, sizeof(h.owner));
    if (sizeof(h) + secret_size + slot_size > SEAL_REQUEST_MAX)
        return -E2BIG;
    packed = secret_new(sizeof(h) + secret_size + slot_size);
    if (!packed)
        return -ENOMEM;
    memcpy(packed->data, &h, sizeof(h));
    if (q->secret)
        memcpy(packed->data + sizeof(h), q->secret->data, secret_size);
    if (slot)
        memcpy(packed->data + sizeof(h) + secret_size, slot, slot_size);
    *ret = TAKE_PTR(packed);
    return 0;
}

void seal_request_done(UnpackedRequest *u)
{
    secret_free(u->secret);
    json_object_put(u->slot);
}

static bool has_end(const char *text, size_t size)
{
    return memchr(text, '\0', size);
}

static bool is_sound(const RequestHead *h)
{
    bool sound = h->work < SEAL_WORKS && h->n_known <= STORE_SLOTS_MAX + 1 &&
                 h->counter.name.size <= TPM2_NAME_MAX &&
                 h->counter.srk_name.size <= TPM2_NAME_MAX && has_end(h->bank, sizeof(h->bank)) &&
                 has_end(h->with_key, sizeof(h->with_key)) && has_end(h->owner, sizeof(h->owner));

    for (uint32_t i = 0; sound && i < h->n_known; i++)
        sound = h->known[i].size <= TPM2_NAME_MAX;
    return sound;
}

static void unpack_options(UnpackedRequest *u)
{
    const RequestHead *h = &u->head;

    u->known.n = h->n_known;
    memcpy(u->known.names, h->known, h->n_known * sizeof(h->known[0]));
    u->options = (SlotOptions){
        .pcrs_given = h->flags & FLAG_PCRS_GIVEN,
        .pcrs = h->pcrs,
        .bank = h->flags & FLAG_BANK ? h->bank : NULL,
        .bank_kept = h->flags & FLAG_BANK_KEPT,
        .new_tpm = h->flags & FLAG_NEW_TPM,
        .known_tpms = &u->known,
        .closed_ways = h->closed_ways,
        .with_key = h->flags & FLAG_WITH_KEY ? h->with_key : NULL,
        .skip_given = h->flags & FLAG_SKIP_GIVEN,
        .allow_null_key = h->flags & FLAG_ALLOW_NULL_KEY,
    };
}

bool seal_request_is_of_slot(const RequestHead *h)
{
    return h->work <= SEAL_WORK_UNSEAL;
}

static int unpack_slot(UnpackedRequest *u, const char *text, size_t size)
{
    const char *name;
    int r = json_parse(text, size, SLOT_JSON_DEPTH, &u->slot);

    if (r < 0)
        return r;
    if (json_get_string(u->slot, "type", &name) <= 0)
        return -EBADMSG;
    for (const SlotType *const *t = slot_types; *t; t++)
        if (strcmp((*t)->name, name) == 0)
            u->type = *t;
    return u->type ? 0 : -EBADMSG;
}

int seal_request_unpack(const uint8_t *data, size_t size, UnpackedRequest *u)
{
    const uint8_t *p = data + sizeof(u->head);

    if (size < sizeof(u->head) || size > SEAL_REQUEST_MAX)
        return -EBADMSG;
    memcpy(&u->head, data, sizeof(u->head));
    size -= sizeof(u->head);
    if (!is_sound(&u->head) || u->head.secret_size > size ||
        (u->head.secret_size > 0 && u->head.secret_size != STORE_KEY_SIZE))
        return -EBADMSG;
    if (u->head.secret_size > 0 && !(u->secret = secret_new_copy(p, u->head.secret_size)))
        return -ENOMEM;
    unpack_options(u);
    if (!seal_request_is_of_slot(&u->head))
        return 0;
    if (u->head.work != SEAL_WORK_UNSEAL && !u->secret)
        return -EBADMSG;
    return unpack_slot(u, (const char *)p + u->head.secret_size, size - u->head.secret_size);
}
