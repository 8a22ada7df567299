/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/json.h"
#include "credstore/seal/tpm2/blob.h"
#include "credstore/seal/tpm2/counter.h"

/* TPM2_ALG_SHA256, big endian, and a digest. */
#define NV_NAME_SIZE 34
static const uint8_t nv_name_alg[] = {0x00, 0x0b};

static bool is_ours(const Tpm2Counter *c)
{
    return c->index >= TPM2_COUNTER_FIRST && c->index <= TPM2_COUNTER_LAST &&
           c->name.size == NV_NAME_SIZE &&
           memcmp(c->name.data, nv_name_alg, sizeof(nv_name_alg)) == 0;
}

static int parse_name(json_object *object, const char *key, Tpm2Name *ret)
{
    return tpm2_blob_get(object, key, ret->data, sizeof(ret->data), &ret->size);
}

int tpm2_counter_parse(json_object *object, Tpm2Counter *ret)
{
    Tpm2Counter counter = {};
    uint64_t index;

    if (json_get_uint(object, "nvIndex", UINT32_MAX, &index) <= 0 ||
        parse_name(object, "nvName", &counter.name) < 0 ||
        parse_name(object, "srkName", &counter.srk_name) < 0)
        return -EBADMSG;
    counter.index = (uint32_t)index;
    if (!is_ours(&counter))
        return -EBADMSG;

    *ret = counter;
    return 0;
}

int tpm2_counter_format(const Tpm2Counter *counter, json_object *object)
{
    int r;

    if (!is_ours(counter) || counter->srk_name.size > TPM2_NAME_MAX)
        return -EINVAL;
    r = json_add_uint(object, "nvIndex", counter->index);
    if (r == 0)
        r = tpm2_blob_add(object, "nvName", counter->name.data, counter->name.size);
    if (r == 0)
        r = tpm2_blob_add(object, "srkName", counter->srk_name.data, counter->srk_name.size);
    return r;
}
