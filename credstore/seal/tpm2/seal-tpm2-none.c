/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/detail.h"
#include "credstore/seal/seal-type.h"

/* Replaces seal-tpm2.c in a build without the TPM2 library. */

static int tpm2_usable(void)
{
    return -EOPNOTSUPP;
}

static int tpm2_seal(_unused_ const Secret *kek, _unused_ const SlotOptions *options,
                     _unused_ json_object *slot, char **reterr_detail)
{
    return detail_set(reterr_detail, -EOPNOTSUPP, "built without TPM2 support");
}

static int tpm2_unseal(_unused_ json_object *slot, _unused_ const SlotOptions *options,
                       _unused_ Secret **ret_kek, char **reterr_detail)
{
    return detail_set(reterr_detail, -EKEYREJECTED, "built without TPM2 support");
}

const SlotType slot_tpm2 = {
    .name = "tpm2",
    .usable = tpm2_usable,
    .seal = tpm2_seal,
    .unseal = tpm2_unseal,
};
