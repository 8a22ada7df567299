/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/keyslots.h"
#include "credstore/seal/helper.h"
#include "credstore/store-slots.h"

/* Makes a store: a key, a slot of each type that works here, and a first state. */

int store_make_id(size_t size, char *ret)
{
    _cleanup_(secret_freep) Secret *random = NULL;
    int r = secret_random(size, &random);

    if (r == 0)
        hex_encode(random->data, size, ret);
    return r;
}

int store_prepare(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    r = store_new(dir, &s, reterr_detail);
    if (r < 0)
        return r;
    r = file_exists(s->dirfd);
    if (r > 0)
        return detail_set(reterr_detail, -EEXIST, "there is a store in %s already", dir);
    /* Checked before the slots are sealed in vain. */
    if (r == 0 && faccessat(s->dirfd, ".", W_OK, AT_EACCESS) < 0)
        r = -errno;
    if (r < 0)
        return detail_set(reterr_detail, r, "%s: %s", dir, strerror(-r));
    r = secret_random(STORE_KEY_SIZE, &s->key);
    if (r < 0)
        return r;
    r = store_identity_of(s, s->key, s->identity);
    if (r < 0)
        return r;
    r = store_make_id((HEADER_ID_SIZE - 1) / 2, s->header.id);
    if (r < 0)
        return r;
    s->header.generation = 1;
    s->header.slots = json_object_new_array();
    if (!s->header.slots)
        return -ENOMEM;

    *ret = TAKE_PTR(s);
    return 0;
}

int store_request_enrol(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                        Secret **ret_kek)
{
    const SlotType *type = keyslots_automatic_type(nth);
    SealRequest q = {.work = SEAL_WORK_SEAL_IF_USABLE, .options = *options};
    _cleanup_(json_putp) json_object *slot = NULL;
    _cleanup_(secret_freep) Secret *kek = NULL;
    int r;

    (void)s;
    if (!type)
        return -ERANGE;
    r = keyslots_new(type->name, NULL, NULL, &slot, &kek, NULL);
    q.slot = slot;
    q.secret = kek;
    if (r == 0)
        r = seal_request_pack(&q, ret);
    if (r == 0)
        *ret_kek = TAKE_PTR(kek);
    return r;
}

const char *store_nth_enrol_type(size_t nth)
{
    const SlotType *type = keyslots_automatic_type(nth);

    return type ? type->name : NULL;
}

int store_adopt_slot(Store *s, const Secret *slot)
{
    _cleanup_(json_putp) json_object *o = NULL;
    const char *id;
    int r = slots_unpack(slot, &o);

    if (r == 0)
        r = json_get_string(o, "id", &id) > 0 ? slots_prove(s, id) : -EBADMSG;
    return r < 0 ? r : json_append_take(s->header.slots, TAKE_PTR(o));
}

int store_establish(Store *s, char **reterr_detail)
{
    bool renamed;
    int r;

    if (json_object_array_length(s->header.slots) == 0)
        return -EOPNOTSUPP;
    r = store_write(s, &s->header, NULL, 0, &renamed);
    if (r < 0)
        return detail_set(reterr_detail, r, "cannot write the store: %s", strerror(-r));
    return 0;
}
