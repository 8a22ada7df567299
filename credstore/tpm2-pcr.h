/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/tpm2-context.h"

/* Platform configuration registers (PCRs): what firmware and boot loader measured. */

/* Every PC client TPM has this many in a bank. */
#define TPM2_PCRS 24

/* A bank's name, or NULL for one that is not used here. */
const char *tpm2_bank_to_string(TPMI_ALG_HASH bank);
/* Returns -EINVAL. */
int tpm2_bank_from_string(const char *name, TPMI_ALG_HASH *ret) _must_check_;

/* pcrs has a bit for each PCR, here and below. */
void tpm2_pcr_select(TPMI_ALG_HASH bank, uint32_t pcrs, TPML_PCR_SELECTION *ret);

/* Chooses the bank to bind to, and reads pcr there through session, which is for audit. It is
 * SHA-256 where firmware has measured into that bank, else SHA-1 where it has into that: a value of
 * all zero or all one bits is what a reset leaves. Where it has measured into neither, the first of
 * the two that the TPM has is taken all the same: the binding to the TPM holds, that to the boot
 * only starts to when something measures. Returns -EOPNOTSUPP when the TPM has neither, or as
 * tpm2_check(). */
int tpm2_pcr_choose(Tpm2Context *c, ESYS_TR session, unsigned pcr, TPMI_ALG_HASH *ret_bank,
                    TPM2B_DIGEST *ret_value) _must_check_;

/* The digest (SHA-256) of a policy of nothing but TPM2_PolicyPCR for one pcr with that value.
 * Returns -EIO. */
int tpm2_pcr_policy(TPMI_ALG_HASH bank, unsigned pcr, const TPM2B_DIGEST *value, TPM2B_DIGEST *ret)
    _must_check_;
