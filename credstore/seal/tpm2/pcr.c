/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "basic/detail.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/pcr.h"

/* Each try takes three commands at most. */
#define READ_TRIES 8

typedef struct Bank {
    TPMI_ALG_HASH id;
    const char *name;
    uint16_t size;
} Bank;

typedef struct PcrValues {
    uint32_t have;   /* a bit for each that has been read */
    uint32_t update; /* rises with each change of a PCR */
    TPM2B_DIGEST values[TPM2_PCRS];
} PcrValues;

/* In order of preference. */
static const Bank banks[] = {
    {TPM2_ALG_SHA256, "sha256", TPM2_SHA256_DIGEST_SIZE},
    {TPM2_ALG_SHA384, "sha384", TPM2_SHA384_DIGEST_SIZE},
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

void tpm2_pcrs_describe(TPMI_ALG_HASH bank, uint32_t pcrs, char ret[static TPM2_PCRS_TEXT_SIZE])
{
    bool several = (pcrs & (pcrs - 1)) != 0;
    const char *name = tpm2_bank_to_string(bank), *separator = " ";
    size_t n = (size_t)snprintf(ret, TPM2_PCRS_TEXT_SIZE, several ? "PCRs" : "PCR");

    for (unsigned pcr = 0; pcr < TPM2_PCRS; pcr++)
        if (pcrs >> pcr & 1) {
            n += (size_t)snprintf(ret + n, TPM2_PCRS_TEXT_SIZE - n, "%s%u", separator, pcr);
            separator = ", ";
        }
    (void)snprintf(ret + n, TPM2_PCRS_TEXT_SIZE - n, " (%s)", name ? name : "?");
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

static uint32_t selected(const TPML_PCR_SELECTION *selection, TPMI_ALG_HASH bank)
{
    const TPMS_PCR_SELECTION *s = &selection->pcrSelections[0];
    uint32_t pcrs = 0;

    if (selection->count != 1 || s->hash != bank)
        return 0;
    for (size_t i = 0; i < s->sizeofSelect && i < TPM2_PCRS / 8; i++)
        pcrs |= (uint32_t)s->pcrSelect[i] << (8 * i);
    return pcrs;
}

/* Stores the values that one command has read. Returns false if they do not fit pcrs. */
static bool take_values(const Bank *bank, uint32_t pcrs, const TPML_DIGEST *values, PcrValues *v)
{
    uint32_t n = 0;

    for (unsigned pcr = 0; pcr < TPM2_PCRS; pcr++) {
        if (!(pcrs >> pcr & 1))
            continue;
        if (n >= values->count || values->digests[n].size != bank->size)
            return false;
        v->values[pcr] = values->digests[n++];
    }
    v->have |= pcrs;
    return n == values->count;
}

/* Reads as many of pcrs as one command returns, which may be 8. Returns 1, 0 if the TPM has none of
 * them in that bank, -EAGAIN if a PCR has changed since the previous command. */
static int read_some(Tpm2Context *c, ESYS_TR session, const Bank *bank, uint32_t pcrs, PcrValues *v)
{
    _cleanup_(esys_freep) TPML_PCR_SELECTION *read = NULL;
    _cleanup_(esys_freep) TPML_DIGEST *values = NULL;
    TPML_PCR_SELECTION selection;
    uint32_t update, got;
    TSS2_RC rc;
    int r;

    tpm2_pcr_select(bank->id, pcrs, &selection);
    rc = Esys_PCR_Read(c->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, &selection, &update, &read,
                       &values);
    /* The TPM does not know the algorithm. */
    if (tpm2_rc_is(rc, TPM2_RC_HASH))
        return 0;
    r = tpm2_check(c, rc, "read PCRs");
    if (r < 0)
        return r;
    if (v->have != 0 && update != v->update)
        return -EAGAIN;

    v->update = update;
    got = selected(read, bank->id);
    return got != 0 && (got & ~pcrs) == 0 && take_values(bank, got, values, v);
}

/* Reads all of pcrs as they were at one moment. Returns 1, or 0 if the TPM lacks one of them in
 * that bank. */
static int read_values(Tpm2Context *c, ESYS_TR session, const Bank *bank, uint32_t pcrs,
                       PcrValues *ret)
{
    for (int i = 0; i < READ_TRIES; i++) {
        int r = 1;

        ret->have = 0;
        while (r > 0 && ret->have != pcrs)
            r = read_some(c, session, bank, pcrs & ~ret->have, ret);
        if (r != -EAGAIN)
            return r;
    }
    return detail_set(c->reterr_detail, -ETIMEDOUT, "cannot read PCRs: they keep changing");
}

static bool is_measured(const TPM2B_DIGEST *value)
{
    for (uint16_t i = 0; i < value->size; i++)
        if (value->buffer[i] != value->buffer[0])
            return true;
    return value->buffer[0] != 0x00 && value->buffer[0] != 0xff;
}

static uint32_t unmeasured(const PcrValues *v)
{
    uint32_t pcrs = 0;

    for (unsigned pcr = 0; pcr < TPM2_PCRS; pcr++)
        if (v->have >> pcr & 1 && !is_measured(&v->values[pcr]))
            pcrs |= UINT32_C(1) << pcr;
    return pcrs;
}

static int digest_values(const PcrValues *v, TPM2B_DIGEST *ret)
{
    uint8_t all[TPM2_PCRS * TPM2_SHA384_DIGEST_SIZE];
    size_t n = 0;

    for (unsigned pcr = 0; pcr < TPM2_PCRS; pcr++)
        if (v->have >> pcr & 1) {
            memcpy(all + n, v->values[pcr].buffer, v->values[pcr].size);
            n += v->values[pcr].size;
        }
    ret->size = TPM2_SHA256_DIGEST_SIZE;
    return EVP_Digest(all, n, ret->buffer, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

static int no_bank(Tpm2Context *c, const Tpm2BankChoice *choice)
{
    if (choice->required)
        return detail_set(c->reterr_detail, -EOPNOTSUPP, "the TPM lacks these PCRs in its bank %s",
                          tpm2_bank_to_string(choice->bank));
    return detail_set(c->reterr_detail, -EOPNOTSUPP,
                      "the TPM lacks these PCRs in its banks sha256, sha384 and sha1");
}

/* Tries a bank. Returns 1 if it is the best, 0 if another one may be better. */
static int try_bank(Tpm2Context *c, ESYS_TR session, const Bank *bank, uint32_t pcrs,
                    Tpm2PcrState *best)
{
    PcrValues values;
    int r = read_values(c, session, bank, pcrs, &values);

    if (r <= 0 || (best->bank && unmeasured(&values) == pcrs))
        return r < 0 ? r : 0;
    best->bank = bank->id;
    best->unmeasured = unmeasured(&values);
    r = digest_values(&values, &best->digest);
    return r < 0 ? r : best->unmeasured != pcrs;
}

static int try_banks(Tpm2Context *c, ESYS_TR session, uint32_t pcrs, const Tpm2BankChoice *choice,
                     Tpm2PcrState *best)
{
    int r = 0;

    /* The preferred bank comes first. */
    for (size_t i = 0; i < ARRAY_SIZE(banks) && r == 0; i++)
        if (banks[i].id == choice->bank)
            r = try_bank(c, session, &banks[i], pcrs, best);
    for (size_t i = 0; i < ARRAY_SIZE(banks) && r == 0 && !choice->required; i++)
        if (banks[i].id != choice->bank)
            r = try_bank(c, session, &banks[i], pcrs, best);
    return r < 0 ? r : 0;
}

int tpm2_pcr_choose(Tpm2Context *c, ESYS_TR session, uint32_t pcrs, const Tpm2BankChoice *choice,
                    Tpm2PcrState *ret)
{
    Tpm2PcrState best = {.bank = 0};
    int r = try_banks(c, session, pcrs, choice, &best);

    if (r < 0)
        return r;
    if (!best.bank)
        return no_bank(c, choice);
    *ret = best;
    return 0;
}

int tpm2_pcr_policy(TPMI_ALG_HASH bank, uint32_t pcrs, const TPM2B_DIGEST *digest,
                    TPM2B_DIGEST *ret)
{
    /* A policy starts as all zero. */
    uint8_t input[TPM2_SHA256_DIGEST_SIZE + sizeof(TPM2_CC) + sizeof(TPML_PCR_SELECTION) +
                  TPM2_SHA256_DIGEST_SIZE] = {};
    TPM2B_DIGEST policy = {.size = TPM2_SHA256_DIGEST_SIZE};
    size_t n = TPM2_SHA256_DIGEST_SIZE;
    TPML_PCR_SELECTION selection;

    tpm2_pcr_select(bank, pcrs, &selection);
    if (digest->size != TPM2_SHA256_DIGEST_SIZE ||
        Tss2_MU_TPM2_CC_Marshal(TPM2_CC_PolicyPCR, input, sizeof(input), &n) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPML_PCR_SELECTION_Marshal(&selection, input, sizeof(input), &n) !=
            TSS2_RC_SUCCESS ||
        sizeof(input) - n < digest->size)
        return -EIO;
    memcpy(input + n, digest->buffer, digest->size);
    if (EVP_Digest(input, n + digest->size, policy.buffer, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;

    *ret = policy;
    return 0;
}
