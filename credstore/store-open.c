/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/keyslots.h"
#include "credstore/seal/helper.h"
#include "credstore/store-counter.h"
#include "credstore/store-slots.h"

/* Opening: read the header, get the store key from a slot, then authenticate everything with it. */

static int head_detail(int error, char **reterr_detail)
{
    return detail_set(reterr_detail, error, "store file: %s",
                      error == -EBADMSG                     ? "not authentic or not readable"
                      : error == -EPROTONOSUPPORT           ? "made by a newer version"
                      : error == -EINVAL || error == -ELOOP ? "not a regular file"
                                                            : strerror(-error));
}

/* Reads the file. The header is not authenticated yet, but its slots are needed to get the key. */
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

/* The store key and its origin, as bytes. */
typedef struct Found {
    char id[SLOT_ID_SIZE]; /* the slot that gave the key */
    bool counter_checked;
    uint64_t counter_seen;
    uint8_t key[STORE_KEY_SIZE];
} Found;

static int pack_found(const char id[static SLOT_ID_SIZE], const Secret *key, Secret **ret)
{
    Secret *packed = secret_new(sizeof(Found));
    Found *found;

    if (!packed)
        return -ENOMEM;
    found = (Found *)(void *)packed->data;
    memcpy(found->id, id, SLOT_ID_SIZE);
    memcpy(found->key, key->data, STORE_KEY_SIZE);
    *ret = packed;
    return 0;
}

int store_request_unseal(const Store *s, size_t nth, const SlotOptions *options, Secret **ret,
                         char **reterr_detail)
{
    const SealRequest q = {
        .work = SEAL_WORK_UNSEAL, .options = *options, .slot = keyslots_nth(s->header.slots, nth)};

    if (!q.slot)
        return -ERANGE;
    if (!keyslots_knows(q.slot))
        return detail_set(reterr_detail, -EKEYREJECTED, "slot: unknown type, of another version");
    return seal_request_pack(&q, ret);
}

int store_take_kek(const Store *s, size_t nth, const Secret *kek, Secret **ret,
                   char **reterr_detail)
{
    json_object *slot = keyslots_nth(s->header.slots, nth);
    _cleanup_(secret_freep) Secret *key = NULL;
    char id[SLOT_ID_SIZE] = "";
    int r = keyslots_unwrap(s->sealer, s->header.id, slot, kek, &key, id);

    if (r == 0)
        return pack_found(id, key, ret);
    return detail_set(reterr_detail, r, "%s: %s", store_nth_slot_type(s, nth),
                      r == -EKEYREJECTED ? "its KEK does not fit this slot"
                      : r == -EBADMSG    ? "its data in the header are malformed"
                                         : strerror(-r));
}

bool store_may_have_been_given(const Store *s, size_t nth)
{
    const char *type = store_nth_slot_type(s, nth);

    return type && strcmp(type, slot_systemd_creds.name) == 0;
}

int store_request_counter(const Store *s, const Secret *packed, Secret **ret)
{
    const Found *found = (const Found *)(const void *)packed->data;
    _cleanup_(secret_freep) Secret *key = secret_new_copy(found->key, STORE_KEY_SIZE);

    *ret = NULL;
    if (!key)
        return -ENOMEM;
    return s->header.counter.present
               ? store_counter_request(s, key, SEAL_WORK_COUNTER_READ, &s->header.counter, ret)
               : 0;
}

int store_take_counter(Secret *packed, const Secret *value)
{
    Found *found = (Found *)(void *)packed->data;

    if (!value || value->size != sizeof(found->counter_seen))
        return -EBADMSG;
    memcpy(&found->counter_seen, value->data, value->size);
    found->counter_checked = true;
    return 0;
}

int store_find_key_by_recovery(const Store *s, const Secret *recovery_key, Secret **ret)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    char id[SLOT_ID_SIZE] = "";
    int r = keyslots_unlock_with(s->sealer, &s->header, "recovery", recovery_key, &key, id);

    /* No counter check: a person who enters the recovery key decides whether to open an old copy.
     */
    return r < 0 ? r : pack_found(id, key, ret);
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
    /* An earlier process may have ended between the renaming and the sync of its commit. Our caller
     * publishes what it reads here, so a power cut must not bring back the state before. */
    s->uncertain = io_sync_dir(s->dirfd) < 0 && s->header.n_orphans > 0;
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
