/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "credstore/keyslots.h"
#include "credstore/store-counter.h"
#include "credstore/store-slots.h"

/* Opening: the header as it is, the store key from a slot, and then everything with it. */

static int head_detail(int error, char **reterr_detail)
{
    return detail_set(reterr_detail, error, "store file: %s",
                      error == -EBADMSG                     ? "not authentic or not readable"
                      : error == -EPROTONOSUPPORT           ? "made by a newer version"
                      : error == -EINVAL || error == -ELOOP ? "not a regular file"
                                                            : strerror(-error));
}

/* Reads the file. A header in which nothing can be believed yet tells the slots. */
static int read_store(Store *s, char **reterr_detail)
{
    int r = file_read(s->dirfd, &s->text);

    if (r == 0)
        r = head_split(s->text.data, s->text.size, &s->head);
    if (s->text.n_holes > 0 && (r < 0 || file_has_hole(&s->text, 0, s->head.size)))
        r = -EIO;
    if (r == 0)
        r = header_parse(s->text.data, s->head.header_size, &s->header);
    return r < 0 ? head_detail(r, reterr_detail) : 0;
}

int store_attach(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r;

    r = store_new(dir, &s, reterr_detail);
    if (r < 0)
        return r;
    r = read_store(s, reterr_detail);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

/* What opens a store, as bytes. */
typedef struct Found {
    char id[SLOT_ID_SIZE]; /* of the slot that gave the key */
    bool counter_checked;
    uint64_t counter_seen;
    uint8_t key[STORE_KEY_SIZE];
} Found;

static int pack_found(const Store *s, const char id[static SLOT_ID_SIZE], const Secret *key,
                      bool ask_counter, Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *packed = secret_new(sizeof(Found));
    Found *found;
    int r;

    if (!packed)
        return -ENOMEM;
    found = (Found *)(void *)packed->data;
    memcpy(found->id, id, SLOT_ID_SIZE);
    memcpy(found->key, key->data, STORE_KEY_SIZE);
    if (ask_counter) {
        r = store_counter_read(s, key, &found->counter_checked, &found->counter_seen,
                               reterr_detail);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(packed);
    return 0;
}

int store_find_key(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                   char **reterr_detail)
{
    json_object *slot = keyslots_nth(s->header.slots, nth);
    _cleanup_(secret_freep) Secret *key = NULL;
    char id[SLOT_ID_SIZE] = "";
    int r;

    if (!slot)
        return -ERANGE;
    r = keyslots_unlock(s->sealer, s->header.id, slot, options, &key, id, reterr_detail);
    return r < 0 ? r : pack_found(s, id, key, true, ret, reterr_detail);
}

int store_find_key_by_recovery(const Store *s, const Secret *recovery_key, Secret **ret)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    char id[SLOT_ID_SIZE] = "";
    int r = keyslots_unlock_with(s->sealer, &s->header, "recovery", recovery_key, &key, id);

    /* Who types it in knows what the store is a copy of. */
    return r < 0 ? r : pack_found(s, id, key, false, ret, NULL);
}

static int unlock(Store *s, char **reterr_detail)
{
    int r = head_verify(s->sealer, s->key, s->text.data, &s->head);

    if (r < 0)
        return head_detail(r, reterr_detail);
    r = store_counter_compare(s, reterr_detail);
    if (r < 0)
        return r;
    r = store_load(s);
    if (r < 0)
        return detail_set(reterr_detail, r, "cannot read the records: %s", strerror(-r));
    file_sweep(s->dirfd);
    s->damaged = s->text.n_holes > 0;
    file_text_done(&s->text);
    return 0;
}

int store_identify(const Store *s, const Secret *packed, char ret[static STORE_IDENTITY_SIZE])
{
    const Found *found = (const Found *)(const void *)packed->data;
    _cleanup_(secret_freep) Secret *key = NULL;

    if (packed->size != sizeof(*found))
        return -EINVAL;
    key = secret_new_copy(found->key, STORE_KEY_SIZE);
    return key ? store_identity_of(s, key, ret) : -ENOMEM;
}

int store_unlock(Store *s, const Secret *packed, char **reterr_detail)
{
    const Found *found = (const Found *)(const void *)packed->data;
    int r;

    if (s->key || packed->size != sizeof(*found) || found->id[SLOT_ID_SIZE - 1] != '\0')
        return -EINVAL;
    s->key = secret_new_copy(found->key, STORE_KEY_SIZE);
    if (!s->key)
        return -ENOMEM;
    memcpy(s->opened_by, found->id, SLOT_ID_SIZE);
    r = slots_prove(s, s->opened_by);
    if (r == 0)
        r = store_identity_of(s, s->key, s->identity);
    if (r < 0)
        return r;
    s->counter_checked = found->counter_checked;
    s->counter_seen = found->counter_seen;
    r = unlock(s, reterr_detail);
    if (r < 0) {
        store_forget_records(s);
        s->key = secret_free(s->key);
        s->identity[0] = '\0';
    }
    return r;
}

/* Which of two errors of slots to report: one that may pass says more than a plain no. */
static int worse(int error, int r)
{
    return r == -ENOMEM || r == -ETIMEDOUT ? r : error;
}

static int find_key(const Store *s, Secret **ret, char **reterr_detail)
{
    static const SlotOptions options = {.pcrs_given = false};
    _cleanup_(freep) char *detail = NULL;
    int error = -EKEYREJECTED, r;

    for (size_t n = 0;; n++) {
        _cleanup_(freep) char *why = NULL;

        r = store_find_key(s, n, &options, ret, &why);
        if (r == 0)
            return 0;
        if (r == -ERANGE)
            break;
        error = worse(error, r);
        if (why)
            detail_append(&detail, why);
    }
    if (reterr_detail)
        *reterr_detail = TAKE_PTR(detail);
    return error;
}

int store_open(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(secret_freep) Secret *found = NULL;
    int r;

    r = store_attach(dir, &s, reterr_detail);
    if (r < 0)
        return r;
    r = find_key(s, &found, reterr_detail);
    if (r < 0)
        return r;
    r = store_unlock(s, found, reterr_detail);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}
