/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/macro.h"
#include "credstore/seal/helper.h"
#include "store-direct.h"

static const SlotOptions no_options = {.pcrs_given = false};

static int work(const Secret *request, Secret **ret, char **reterr_detail)
{
    return seal_work(request->data, request->size, ret, reterr_detail);
}

int direct_find_key(const Store *s, size_t nth, Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL, *counter = NULL, *kek = NULL, *value = NULL,
                                   *found = NULL;
    int r = store_request_unseal(s, nth, &no_options, &request, reterr_detail);

    if (r == 0)
        r = work(request, &kek, reterr_detail);
    if (r == 0)
        r = store_take_kek(s, nth, kek, &found, reterr_detail);
    if (r == 0)
        r = store_request_counter(s, found, &counter);
    if (r == 0 && counter)
        r = work(counter, &value, reterr_detail);
    if (r == 0 && counter)
        r = store_take_counter(found, value);
    if (r == 0)
        *ret = TAKE_PTR(found);
    return r;
}

static int find_key(const Store *s, Secret **ret, char **reterr_detail)
{
    _cleanup_(freep) char *detail = NULL;
    int error = -EKEYREJECTED, r;

    for (size_t n = 0; (r = direct_find_key(s, n, ret, reterr_detail)) != 0 && r != -ERANGE; n++) {
        error = r == -ENOMEM || r == -ETIMEDOUT ? r : error;
        if (reterr_detail && *reterr_detail)
            detail_append(&detail, *reterr_detail);
        if (reterr_detail)
            free(TAKE_PTR(*reterr_detail));
    }
    if (r == 0)
        return 0;
    if (reterr_detail)
        *reterr_detail = TAKE_PTR(detail);
    return error;
}

int direct_open(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *found = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_attach(dir, &s, reterr_detail);

    if (r == 0)
        r = find_key(s, &found, reterr_detail);
    if (r == 0)
        r = store_unlock(s, found, reterr_detail);
    if (r == 0)
        *ret = TAKE_PTR(s);
    return r;
}

static int enrol(Store *s, size_t nth, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL, *kek = NULL, *sealed = NULL, *slot = NULL;
    int r = store_request_enrol(s, nth, &no_options, &request, &kek);

    if (r == 0)
        r = work(request, &sealed, reterr_detail);
    if (r == 0)
        r = store_wrap_slot(s, sealed, kek, &slot);
    return r < 0 ? r : store_adopt_slot(s, slot);
}

int direct_create(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(store_closep) Store *s = NULL;
    int r = store_prepare(dir, &s, reterr_detail);

    if (r < 0)
        return r;
    /* A type that does not work here gets no slot. */
    for (size_t n = 0; r != -ERANGE; n++) {
        _cleanup_(freep) char *why = NULL;

        r = enrol(s, n, &why);
    }
    r = store_establish(s, reterr_detail);
    if (r == 0)
        *ret = TAKE_PTR(s);
    return r;
}

static int add_counter(Store *s, const Secret *slot, Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL, *made = NULL;
    int r = store_request_new_counter(s, slot, &request);

    if (r == 0)
        r = work(request, &made, reterr_detail);
    return r < 0 ? r : store_add_counter(slot, made, ret);
}

int direct_seal_slot(Store *s, const char *type, const char *id, const SlotOptions *options,
                     Secret **ret, Secret **ret_recovery_key, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *request = NULL, *kek = NULL, *sealed = NULL, *slot = NULL;
    int r = store_request_seal(s, type, id, options, &request, &kek, reterr_detail);

    if (r == 0)
        r = work(request, &sealed, reterr_detail);
    if (r == 0)
        r = store_wrap_slot(s, sealed, kek, &slot);
    if (r < 0)
        return r;
    *ret_recovery_key = strcmp(type, "recovery") == 0 ? TAKE_PTR(kek) : NULL;
    if (options->rollback_counter)
        return add_counter(s, slot, ret, reterr_detail);
    *ret = TAKE_PTR(slot);
    return 0;
}

int direct_count(Store *s)
{
    _cleanup_(secret_freep) Secret *request = NULL, *value = NULL;
    int r = store_request_count(s, &request);

    if (r == 0)
        r = work(request, &value, NULL);
    return r < 0 ? r : store_counted(s, value);
}

int direct_remove_orphan(Store *s)
{
    _cleanup_(secret_freep) Secret *request = NULL, *none = NULL;
    int r = store_request_orphan(s, &request);

    return r < 0 ? r : work(request, &none, NULL);
}
