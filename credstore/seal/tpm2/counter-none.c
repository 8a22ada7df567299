/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/detail.h"
#include "credstore/seal/tpm2/counter.h"

/* Replaces counter.c in a build without the TPM2 library. */

static int unsupported(char **reterr_detail)
{
    return detail_set(reterr_detail, -EOPNOTSUPP, "built without TPM2 support");
}

int tpm2_counter_plan(_unused_ const Tpm2Name *srk_name,
                      _unused_ const char owner[static TPM2_COUNTER_OWNER_SIZE],
                      _unused_ Tpm2CounterPlan *ret)
{
    return -EOPNOTSUPP;
}

int tpm2_counter_create(_unused_ const Tpm2Counter *planned, _unused_ uint64_t nonce,
                        _unused_ const char owner[static TPM2_COUNTER_OWNER_SIZE],
                        _unused_ const Secret *auth, char **reterr_detail)
{
    return unsupported(reterr_detail);
}

int tpm2_counter_find_other(_unused_ const char owner[static TPM2_COUNTER_OWNER_SIZE],
                            _unused_ Tpm2CounterMark *ret, char **reterr_detail)
{
    return unsupported(reterr_detail);
}

int tpm2_counter_remove_marked(_unused_ uint32_t index, char **reterr_detail)
{
    return unsupported(reterr_detail);
}

int tpm2_counter_read(_unused_ const Tpm2Counter *counter, _unused_ const Secret *auth,
                      _unused_ uint64_t *ret_value, char **reterr_detail)
{
    return unsupported(reterr_detail);
}

int tpm2_counter_increment(_unused_ const Tpm2Counter *counter, _unused_ const Secret *auth,
                           _unused_ uint64_t *ret_value, char **reterr_detail)
{
    return unsupported(reterr_detail);
}

int tpm2_counter_remove(_unused_ const Tpm2Counter *counter, char **reterr_detail)
{
    return unsupported(reterr_detail);
}
