/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/tpm2/context.h"

/*
 * Platform configuration registers (PCRs), into which firmware and boot loader measure. A set of
 * them is a number with a bit for each, and all of a set are in one bank.
 */

/* Returns the name of a bank, or NULL for one that is not used here. */
const char *tpm2_bank_to_string(TPMI_ALG_HASH bank);
/* Returns -EINVAL. */
int tpm2_bank_from_string(const char *name, TPMI_ALG_HASH *ret) _must_check_;

/* "PCRs " and all numbers, " (sha256)" and a NUL. */
#define TPM2_PCRS_TEXT_SIZE 128

/* Formats a set for people, e.g. "PCR 7 (sha256)" or "PCRs 0, 2, 7 (sha256)". */
void tpm2_pcrs_describe(TPMI_ALG_HASH bank, uint32_t pcrs, char ret[static TPM2_PCRS_TEXT_SIZE]);

void tpm2_pcr_select(TPMI_ALG_HASH bank, uint32_t pcrs, TPML_PCR_SELECTION *ret);

/* The bank to bind to. */
typedef struct Tpm2BankChoice {
    TPMI_ALG_HASH bank; /* 0: any, see tpm2_pcr_choose() */
    bool required;      /* only that bank; else it is tried first */
} Tpm2BankChoice;

typedef struct Tpm2PcrState {
    TPMI_ALG_HASH bank;
    uint32_t unmeasured; /* those of the PCRs that have the value of a reset */
    TPM2B_DIGEST digest; /* SHA-256 of their values in rising order, all of one moment */
} Tpm2PcrState;

/* Chooses the bank to bind to as systemd does, and reads pcrs there through session, which is for
 * audit: the first of SHA-256, SHA-384 and SHA-1 where firmware has measured into at least one of
 * pcrs (a reset leaves all zero or all one bits). If there is none, it is the first of them that
 * the TPM has: the object is then bound to the TPM, but to the boot only once something measures. A
 * bank that lacks one of pcrs is skipped. pcrs is not 0. Returns -EOPNOTSUPP if no bank fits,
 * -ETIMEDOUT if PCRs change all the time, or as tpm2_check(). */
int tpm2_pcr_choose(Tpm2Context *c, ESYS_TR session, uint32_t pcrs, const Tpm2BankChoice *choice,
                    Tpm2PcrState *ret) _must_check_;

/* Computes the digest (SHA-256) of a policy that consists of TPM2_PolicyPCR for pcrs whose values
 * have that digest. Returns -EIO. */
int tpm2_pcr_policy(TPMI_ALG_HASH bank, uint32_t pcrs, const TPM2B_DIGEST *digest,
                    TPM2B_DIGEST *ret) _must_check_;
