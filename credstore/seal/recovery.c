/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/detail.h"
#include "credstore/seal/seal-type.h"

/* The KEK is a recovery key that people keep, see recovery-key.h. The slot has no members of its
 * own. */

static int recovery_seal(_unused_ const Secret *kek, _unused_ const SlotOptions *options,
                         _unused_ json_object *slot, _unused_ char **reterr_detail)
{
    return 0;
}

static int recovery_unseal(_unused_ json_object *slot, _unused_ const SlotOptions *options,
                           _unused_ Secret **ret_kek, char **reterr_detail)
{
    return detail_set(reterr_detail, -EKEYREJECTED,
                      "needs the recovery key (nvme-keyctl slot unlock)");
}

const SlotType slot_recovery = {
    .name = "recovery",
    .seal = recovery_seal,
    .unseal = recovery_unseal,
};
