/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "credstore/detail.h"
#include "credstore/tpm2-pcr.h"

typedef struct Bank {
    TPMI_ALG_HASH id;
    const char *name;
    uint16_t size;
} Bank;

/* In the order of preference. */
static const Bank banks[] = {
    {TPM2_ALG_SHA256, "sha256", TPM2_SHA256_DIGEST_SIZE},
    {TPM2_ALG_SHA1, "sha1", TPM2_SHA1_DIGEST_SIZE},
};

const char *tpm2_bank_to_string(TPMI_ALG_HASH bank)
{
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        if (banks[i].id == bank)
            return banks[i].name;
    return NULL;
}

int tpm2_bank_from_string(const char *name, TPMI_ALG_HASH *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        if (strcmp(banks[i].name, name) == 0) {
            *ret = banks[i].id;
            return 0;
        }
    return -EINVAL;
}

void tpm2_pcr_select(TPMI_ALG_HASH bank, uint32_t pcrs, TPML_PCR_SELECTION *ret)
{
    *ret = (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections[0] = {.hash = bank, .sizeofSelect = TPM2_PCRS / 8},
    };
    for (size_t i = 0; i < TPM2_PCRS / 8; i++)
        ret->pcrSelections[0].pcrSelect[i] = (uint8_t)(pcrs >> (8 * i));
}

/* Returns 1 and the value, or 0 when the TPM has no such bank. */
static int pcr_read(Tpm2Context *c, ESYS_TR session, const Bank *bank, unsigned pcr,
                    TPM2B_DIGEST *ret)
{
    _cleanup_(esys_freep) TPML_DIGEST *values = NULL;
    TPML_PCR_SELECTION selection;
    TSS2_RC rc;
    int r;

    tpm2_pcr_select(bank->id, UINT32_C(1) << pcr, &selection);
    rc = Esys_PCR_Read(c->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, &selection, NULL, NULL,
                       &values);
    /* An algorithm that the TPM does not know at all. */
    if (tpm2_rc_is(rc, TPM2_RC_HASH))
        return 0;
    r = tpm2_check(c, rc, "read a PCR");
    if (r < 0)
        return r;
    if (values->count != 1 || values->digests[0].size != bank->size)
        return 0;

    *ret = values->digests[0];
    return 1;
}

static bool is_measured(const TPM2B_DIGEST *value)
{
    for (uint16_t i = 0; i < value->size; i++)
        if (value->buffer[i] != value->buffer[0])
            return true;
    return value->buffer[0] != 0x00 && value->buffer[0] != 0xff;
}

int tpm2_pcr_choose(Tpm2Context *c, ESYS_TR session, unsigned pcr, TPMI_ALG_HASH *ret_bank,
                    TPM2B_DIGEST *ret_value)
{
    const Bank *best = NULL;
    TPM2B_DIGEST best_value = {};

    for (size_t i = 0; i < ARRAY_SIZE(banks); i++) {
        TPM2B_DIGEST value;
        int r = pcr_read(c, session, &banks[i], pcr, &value);

        if (r < 0)
            return r;
        if (r == 0 || (best && !is_measured(&value)))
            continue;
        best = &banks[i];
        best_value = value;
        if (is_measured(&value))
            break;
    }
    if (!best)
        return detail_set(c->reterr_detail, -EOPNOTSUPP, "the TPM has no PCRs of SHA-256 or SHA-1");

    *ret_bank = best->id;
    *ret_value = best_value;
    return 0;
}

int tpm2_pcr_policy(TPMI_ALG_HASH bank, unsigned pcr, const TPM2B_DIGEST *value, TPM2B_DIGEST *ret)
{
    /* The policy before the first command is all zero. */
    uint8_t input[TPM2_SHA256_DIGEST_SIZE + sizeof(TPM2_CC) + sizeof(TPML_PCR_SELECTION) +
                  TPM2_SHA256_DIGEST_SIZE] = {};
    TPM2B_DIGEST policy = {.size = TPM2_SHA256_DIGEST_SIZE};
    size_t n = TPM2_SHA256_DIGEST_SIZE;
    TPML_PCR_SELECTION selection;

    tpm2_pcr_select(bank, UINT32_C(1) << pcr, &selection);
    if (Tss2_MU_TPM2_CC_Marshal(TPM2_CC_PolicyPCR, input, sizeof(input), &n) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPML_PCR_SELECTION_Marshal(&selection, input, sizeof(input), &n) !=
            TSS2_RC_SUCCESS ||
        sizeof(input) - n < TPM2_SHA256_DIGEST_SIZE ||
        EVP_Digest(value->buffer, value->size, input + n, NULL, EVP_sha256(), NULL) != 1 ||
        EVP_Digest(input, n + TPM2_SHA256_DIGEST_SIZE, policy.buffer, NULL, EVP_sha256(), NULL) !=
            1)
        return -EIO;

    *ret = policy;
    return 0;
}
