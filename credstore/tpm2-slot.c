/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "basic/encoding.h"
#include "basic/json.h"
#include "credstore/tpm2-context.h"
#include "credstore/tpm2-pcr.h"
#include "credstore/tpm2-slot.h"

/* The largest member, twice what a sealed key of 32 bytes takes. */
#define BLOB_MAX ((size_t)512)

const TPM2B_PUBLIC tpm2_sealed_template = {
    .publicArea =
        {
            .type = TPM2_ALG_KEYEDHASH,
            .nameAlg = TPM2_ALG_SHA256,
            /* Without USERWITHAUTH there is no way past the policy. */
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA,
            .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
        },
};

static bool is_sealed_key(const TPMT_PUBLIC *public)
{
    const TPMT_PUBLIC *expected = &tpm2_sealed_template.publicArea;

    return public->type == expected->type && public->nameAlg == expected->nameAlg &&
           public->objectAttributes == expected->objectAttributes &&
           public->parameters.keyedHashDetail.scheme.scheme ==
               expected->parameters.keyedHashDetail.scheme.scheme &&
           public->authPolicy.size == TPM2_SHA256_DIGEST_SIZE &&
           public->unique.keyedHash.size == TPM2_SHA256_DIGEST_SIZE;
}

static int get_blob(json_object *object, const char *key, uint8_t *ret, size_t capacity,
                    size_t *ret_size)
{
    const char *text;

    if (json_get_string(object, key, &text) <= 0 ||
        base64_decode(text, strlen(text), ret, capacity, ret_size) < 0 || *ret_size == 0)
        return -EBADMSG;
    return 0;
}

static int parse_name(json_object *object, TPM2B_NAME *ret)
{
    size_t size;

    if (get_blob(object, "srkName", ret->name, sizeof(ret->name), &size) < 0)
        return -EBADMSG;
    ret->size = (uint16_t)size;
    return 0;
}

/* The library may read less than there is, or more than one form of it: only what it writes itself
 * is let through. */
static int parse_public(json_object *object, TPM2B_PUBLIC *ret)
{
    uint8_t blob[BLOB_MAX], again[BLOB_MAX];
    size_t size, offset = 0, again_size = 0;

    if (get_blob(object, "public", blob, sizeof(blob), &size) < 0 ||
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob, size, &offset, ret) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PUBLIC_Marshal(ret, again, sizeof(again), &again_size) != TSS2_RC_SUCCESS ||
        again_size != size || memcmp(blob, again, size) != 0 || !is_sealed_key(&ret->publicArea))
        return -EBADMSG;
    return 0;
}

static int parse_private(json_object *object, TPM2B_PRIVATE *ret)
{
    uint8_t blob[BLOB_MAX];
    size_t size, offset = 0;

    if (get_blob(object, "private", blob, sizeof(blob), &size) < 0 ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob, size, &offset, ret) != TSS2_RC_SUCCESS ||
        offset != size || ret->size == 0)
        return -EBADMSG;
    return 0;
}

static int parse_pcrs(json_object *object, uint32_t *ret)
{
    json_object *array;
    uint32_t pcrs = 0;

    if (json_get_array(object, "pcrs", &array) <= 0)
        return -EBADMSG;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *item = json_object_array_get_idx(array, i);
        int64_t pcr = json_object_get_int64(item);

        if (!json_object_is_type(item, json_type_int) || pcr < 0 || pcr >= TPM2_PCRS ||
            pcrs >> pcr != 0)
            return -EBADMSG;
        pcrs |= UINT32_C(1) << pcr;
    }
    if (pcrs == 0)
        return -EBADMSG;
    *ret = pcrs;
    return 0;
}

int tpm2_slot_parse(json_object *object, Tpm2Slot *ret)
{
    Tpm2Slot slot = {};
    const char *bank;

    tpm2_silence();
    if (json_get_string(object, "bank", &bank) <= 0 ||
        tpm2_bank_from_string(bank, &slot.bank) < 0 || parse_pcrs(object, &slot.pcrs) < 0 ||
        parse_name(object, &slot.srk_name) < 0 || parse_public(object, &slot.public) < 0 ||
        parse_private(object, &slot.private) < 0)
        return -EBADMSG;

    *ret = slot;
    return 0;
}

static int add_blob(json_object *object, const char *key, const uint8_t *data, size_t size)
{
    char text[BASE64_LENGTH(BLOB_MAX) + 1];

    base64_encode(data, size, text);
    return json_add_string(object, key, text);
}

static int add_pcrs(json_object *object, uint32_t pcrs)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(object, "pcrs", array);

    for (unsigned pcr = 0; r == 0 && pcr < TPM2_PCRS; pcr++)
        if (pcrs >> pcr & 1)
            r = json_append_take(array, json_object_new_int((int32_t)pcr));
    return r;
}

int tpm2_slot_format(const Tpm2Slot *slot, json_object *object)
{
    uint8_t public[BLOB_MAX], private[BLOB_MAX];
    size_t public_size = 0, private_size = 0;
    const char *bank = tpm2_bank_to_string(slot->bank);
    int r;

    tpm2_silence();
    if (!bank ||
        Tss2_MU_TPM2B_PUBLIC_Marshal(&slot->public, public, sizeof(public), &public_size) !=
            TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(&slot->private, private, sizeof(private), &private_size) !=
            TSS2_RC_SUCCESS)
        return -EINVAL;

    r = add_blob(object, "srkName", slot->srk_name.name, slot->srk_name.size);
    if (r == 0)
        r = json_add_string(object, "bank", bank);
    if (r == 0)
        r = add_pcrs(object, slot->pcrs);
    if (r == 0)
        r = add_blob(object, "public", public, public_size);
    if (r == 0)
        r = add_blob(object, "private", private, private_size);
    return r;
}
