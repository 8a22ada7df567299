/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/seal/tpm2/context.h"

/*
 * Platform configuration registers (PCRs): what firmware and boot loader measured. A set of them is
 * a number with a bit for each, and all of a set are of one bank.
 */

/* A bank's name, or NULL for one that is not used here. */
const char *tpm2_bank_to_string(TPMI_ALG_HASH bank);
/* Returns -EINVAL. */
int tpm2_bank_from_string(const char *name, TPMI_ALG_HASH *ret) _must_check_;

/* "PCRs " and all numbers, " (sha256)" and a NUL. */
#define TPM2_PCRS_TEXT_SIZE 128

/* Writes a set for people, e.g. "PCR 7 (sha256)" or "PCRs 0, 2, 7 (sha256)". */
void tpm2_pcrs_describe(TPMI_ALG_HASH bank, uint32_t pcrs, char ret[static TPM2_PCRS_TEXT_SIZE]);

void tpm2_pcr_select(TPMI_ALG_HASH bank, uint32_t pcrs, TPML_PCR_SELECTION *ret);

/* Which bank to bind to. */
typedef struct Tpm2BankChoice {
    TPMI_ALG_HASH bank; /* 0: any, as below */
    bool required;      /* that bank or none; else it is the first to be looked at */
} Tpm2BankChoice;

typedef struct Tpm2PcrState {
    TPMI_ALG_HASH bank;
    uint32_t unmeasured; /* of the PCRs, those that have what a reset leaves */
    TPM2B_DIGEST digest; /* SHA-256 of their values in rising order, all of one moment */
} Tpm2PcrState;

/* Chooses the bank to bind to as systemd does, and reads pcrs there through session, which is for
 * audit. It is the first of SHA-256, SHA-384 and SHA-1 where firmware has measured into at least
 * one of pcrs: a value of all zero or all one bits is what a reset leaves. Where it has measured
 * into none, the first of them that the TPM has is taken all the same: the binding to the TPM
 * holds, that to the boot only starts to when something measures. A bank that lacks one of pcrs is
 * not taken. pcrs is not 0. Returns -EOPNOTSUPP when no bank will do, -ETIMEDOUT when PCRs change
 * all the time, or as tpm2_check(). */
int tpm2_pcr_choose(Tpm2Context *c, ESYS_TR session, uint32_t pcrs, const Tpm2BankChoice *choice,
                    Tpm2PcrState *ret) _must_check_;

/* The digest (SHA-256) of a policy of nothing but TPM2_PolicyPCR for pcrs whose values have that
 * digest. Returns -EIO. */
int tpm2_pcr_policy(TPMI_ALG_HASH bank, uint32_t pcrs, const TPM2B_DIGEST *digest,
                    TPM2B_DIGEST *ret) _must_check_;
