/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "basic/json.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/blob.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/object.h"
#include "credstore/seal/tpm2/pcr.h"

const TPM2B_PUBLIC tpm2_sealed_template = {
    .publicArea =
        {
            .type = TPM2_ALG_KEYEDHASH,
            .nameAlg = TPM2_ALG_SHA256,
            /* Without USERWITHAUTH only the policy authorizes unsealing. */
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

/* The digest of a policy without commands. Any policy session satisfies it, a password does not. */
static bool is_empty_policy(const TPM2B_DIGEST *policy)
{
    for (uint16_t i = 0; i < policy->size; i++)
        if (policy->buffer[i] != 0)
            return false;
    return true;
}

static bool policy_fits(const Tpm2Object *sealed)
{
    return is_empty_policy(&sealed->public.publicArea.authPolicy) == (sealed->pcrs == 0);
}

static int parse_name(json_object *object, TPM2B_NAME *ret)
{
    size_t size;

    if (tpm2_blob_get(object, "srkName", ret->name, sizeof(ret->name), &size) < 0)
        return -EBADMSG;
    ret->size = (uint16_t)size;
    return 0;
}

/* The library may ignore trailing bytes, or read several encodings, so this accepts only the one
 * that it writes. */
static int parse_public(json_object *object, TPM2B_PUBLIC *ret)
{
    uint8_t blob[TPM2_BLOB_MAX], again[TPM2_BLOB_MAX];
    size_t size, offset = 0, again_size = 0;

    if (tpm2_blob_get(object, "public", blob, sizeof(blob), &size) < 0 ||
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(blob, size, &offset, ret) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PUBLIC_Marshal(ret, again, sizeof(again), &again_size) != TSS2_RC_SUCCESS ||
        again_size != size || memcmp(blob, again, size) != 0 || !is_sealed_key(&ret->publicArea))
        return -EBADMSG;
    return 0;
}

static int parse_private(json_object *object, TPM2B_PRIVATE *ret)
{
    uint8_t blob[TPM2_BLOB_MAX];
    size_t size, offset = 0;

    if (tpm2_blob_get(object, "private", blob, sizeof(blob), &size) < 0 ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(blob, size, &offset, ret) != TSS2_RC_SUCCESS ||
        offset != size || ret->size == 0)
        return -EBADMSG;
    return 0;
}

/* Returns 1, 0 if there is no such member, -EBADMSG. */
static int parse_pcrs(json_object *object, const char *key, uint32_t *ret)
{
    json_object *array;
    uint32_t pcrs = 0;
    int r = json_get_array(object, key, &array);

    if (r <= 0)
        return r < 0 ? -EBADMSG : 0;
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *item = json_object_array_get_idx(array, i);
        int64_t pcr = json_object_get_int64(item);

        if (!json_object_is_type(item, json_type_int) || pcr < 0 || pcr >= TPM2_PCRS ||
            pcrs >> pcr != 0)
            return -EBADMSG;
        pcrs |= UINT32_C(1) << pcr;
    }
    *ret = pcrs;
    return 1;
}

static int parse_unmeasured(json_object *object, uint32_t pcrs, uint32_t *ret)
{
    int r = parse_pcrs(object, "unmeasured", ret);

    /* An empty list is omitted. */
    return r < 0 || (r > 0 && *ret == 0) || (*ret & ~pcrs) != 0 ? -EBADMSG : 0;
}

/* An object that is bound to no PCR has no bank. */
static int parse_bank(json_object *object, uint32_t pcrs, TPMI_ALG_HASH *ret)
{
    const char *bank;

    if (pcrs == 0) {
        *ret = TPM2_ALG_NULL;
        return json_object_object_get_ex(object, "bank", NULL) ? -EBADMSG : 0;
    }
    if (json_get_string(object, "bank", &bank) <= 0 || tpm2_bank_from_string(bank, ret) < 0)
        return -EBADMSG;
    return 0;
}

int tpm2_object_parse(json_object *object, Tpm2Object *ret)
{
    Tpm2Object sealed = {};

    tpm2_silence();
    if (parse_pcrs(object, "pcrs", &sealed.pcrs) <= 0 ||
        parse_unmeasured(object, sealed.pcrs, &sealed.unmeasured) < 0 ||
        parse_bank(object, sealed.pcrs, &sealed.bank) < 0 ||
        parse_name(object, &sealed.srk_name) < 0 || parse_public(object, &sealed.public) < 0 ||
        parse_private(object, &sealed.private) < 0 || !policy_fits(&sealed))
        return -EBADMSG;

    *ret = sealed;
    return 0;
}

static int add_pcrs(json_object *object, const char *key, uint32_t pcrs)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(object, key, array);

    for (unsigned pcr = 0; r == 0 && pcr < TPM2_PCRS; pcr++)
        if (pcrs >> pcr & 1)
            r = json_append_take(array, json_object_new_int((int32_t)pcr));
    return r;
}

int tpm2_object_format(const Tpm2Object *sealed, json_object *object)
{
    uint8_t public[TPM2_BLOB_MAX], private[TPM2_BLOB_MAX];
    size_t public_size = 0, private_size = 0;
    const char *bank = sealed->pcrs ? tpm2_bank_to_string(sealed->bank) : NULL;
    int r;

    tpm2_silence();
    if ((sealed->pcrs && !bank) || (sealed->unmeasured & ~sealed->pcrs) || !policy_fits(sealed) ||
        Tss2_MU_TPM2B_PUBLIC_Marshal(&sealed->public, public, sizeof(public), &public_size) !=
            TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(&sealed->private, private, sizeof(private), &private_size) !=
            TSS2_RC_SUCCESS)
        return -EINVAL;

    r = tpm2_blob_add(object, "srkName", sealed->srk_name.name, sealed->srk_name.size);
    if (r == 0 && bank)
        r = json_add_string(object, "bank", bank);
    if (r == 0)
        r = add_pcrs(object, "pcrs", sealed->pcrs);
    if (r == 0 && sealed->unmeasured)
        r = add_pcrs(object, "unmeasured", sealed->unmeasured);
    if (r == 0)
        r = tpm2_blob_add(object, "public", public, public_size);
    if (r == 0)
        r = tpm2_blob_add(object, "private", private, private_size);
    return r;
}
