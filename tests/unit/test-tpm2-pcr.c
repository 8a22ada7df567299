/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <tss2/tss2_esys.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/object.h"
#include "credstore/seal/tpm2/pcr.h"
#include "seal-tpm2-fixture.h"
#include "swtpm.h"
#include "test.h"
#include "tpm2-interposer.h"

#define ALL_PCRS ((UINT32_C(1) << TPM2_PCRS) - 1)

/* Orders for the ESYS function below, which is linked before that of the library. */
typedef struct Meddling {
    int changes_after; /* change PCRs after so many calls of Esys_PCR_Read() */
    int changes;       /* number of changes, one before each call */
    int reads;
} Meddling;

static Meddling meddling;

TSS2_RC Esys_PCR_Read(ESYS_CONTEXT *esys, ESYS_TR session1, ESYS_TR session2, ESYS_TR session3,
                      const TPML_PCR_SELECTION *pcrs, uint32_t *update, TPML_PCR_SELECTION **read,
                      TPML_DIGEST **values)
{
    __typeof__(Esys_PCR_Read) *real;
    TSS2_RC rc;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_PCR_Read");
    meddling.reads++;
    if (meddling.reads > meddling.changes_after && meddling.changes > 0) {
        meddling.changes--;
        rc = pcr_extend(esys, ESYS_TR_PCR1, 2);
        if (rc != TSS2_RC_SUCCESS)
            return rc;
    }
    return real(esys, session1, session2, session3, pcrs, update, read, values);
}

/* Extends each PCR of a set as often as its number says, so that no two are equal. */
static TSS2_RC extend_set(uint32_t pcrs, uint32_t banks)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    if (tpm2_context_open(NULL, &c) < 0)
        return TSS2_ESYS_RC_IO_ERROR;
    for (unsigned pcr = 0; pcr < TPM2_PCRS; pcr++)
        for (unsigned i = 0; rc == TSS2_RC_SUCCESS && pcrs >> pcr & 1 && i <= pcr; i++)
            rc = pcr_extend(c->esys, ESYS_TR_PCR0 + pcr, banks);
    return rc;
}

static const char *pcrs_of(const Fixture *f)
{
    json_object *pcrs;

    return json_get_array(f->slot, "pcrs", &pcrs) > 0
               ? json_object_to_json_string_ext(pcrs, JSON_C_TO_STRING_PLAIN)
               : NULL;
}

TEST(describe)
{
    static const struct {
        uint32_t pcrs;
        const char *text;
    } samples[] = {
        {PCR(7), "PCR 7 (sha256)"},
        {PCR(0), "PCR 0 (sha256)"},
        {PCR(0) | PCR(7) | PCR(23), "PCRs 0, 7, 23 (sha256)"},
        {ALL_PCRS, "PCRs 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, "
                   "21, 22, 23 (sha256)"},
    };
    char text[TPM2_PCRS_TEXT_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        tpm2_pcrs_describe(TPM2_ALG_SHA256, samples[i].pcrs, text);
        ASSERT_STR(text, samples[i].text);
    }
    tpm2_pcrs_describe(TPM2_ALG_SHA1, PCR(7), text);
    ASSERT_STR(text, "PCR 7 (sha1)");
}

TEST(several)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(PCR(0) | PCR(2) | PCR(11))};
    static const unsigned set[] = {0, 2, 11};

    ASSERT_EQ(extend_set(PCR(0) | PCR(2) | PCR(11), 2), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(pcrs_of(&f), "[0,2,11]");
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(!f.detail);

    for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
        ASSERT_OK(fixture_seal(&f));
        ASSERT_OK(fixture_unseal(&f));
        ASSERT_EQ(extend_set(PCR(set[i]), 2), TSS2_RC_SUCCESS);
        ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
        ASSERT_DETAIL(f, "bound to PCRs 0, 2, 11 (sha256)");
    }
    ASSERT_TRUE(tpm_is_clean());
}

/* One command reads eight of them. */
TEST(all)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(ALL_PCRS)};

    ASSERT_EQ(extend_set(PCR(1) | PCR(9) | PCR(10) | PCR(14), 2), TSS2_RC_SUCCESS);
    meddling = (Meddling){};
    ASSERT_OK(fixture_seal(&f));
    ASSERT_EQ(meddling.reads, 3);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_EQ(extend_set(PCR(23), 2), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "22, 23 (sha256)");
}

TEST(change_while_reading)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(ALL_PCRS)};

    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    meddling = (Meddling){.changes_after = 1, .changes = 1};
    ASSERT_OK(fixture_seal(&f));
    ASSERT_TRUE(!f.detail);
    ASSERT_EQ(meddling.reads, 2 + 3);
    ASSERT_OK(fixture_unseal(&f));

    meddling = (Meddling){.changes = 1000};
    ASSERT_EQ(fixture_seal(&f), -ETIMEDOUT);
    ASSERT_DETAIL(f, "keep changing");
    meddling = (Meddling){};
    ASSERT_TRUE(tpm_is_clean());
}

TEST(none)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(0)};

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(pcrs_of(&f), "[]");
    ASSERT_TRUE(!member(f.slot, "bank"));
    ASSERT_EQ(extend_set(UINT32_C(0xffff), 2), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_EQ(tpm_do(lock_out), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(tpm_is_clean());

    /* It is still bound to this TPM. */
    ASSERT_EQ(tpm_do(clear_tpm), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
}

TEST(no_such_pcr)
{
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(PCR(24))};

    ASSERT_EQ(fixture_seal(&f), -EINVAL);
    ASSERT_EQ(json_object_object_length(f.slot), 0);
}

TEST(default_is_7)
{
    SWTPM(tpm);
    /* pcrs_given is false, so the set does not count. */
    _cleanup_(fixture_done) Fixture f = {.options = {.pcrs = PCR(3)}};

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(pcrs_of(&f), "[7]");
}

TEST(value_cannot_be_forged)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    interposer = (Interposer){.command = TPM2_CC_PCR_Read, .offset = 60};
    ASSERT_EQ(fixture_seal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "not authentic");
    interposer = (Interposer){};
}

TEST(bank_of_sha1)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(allocate_sha1), TSS2_RC_SUCCESS);
    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "bound to PCR 7 (sha1)");
    f.options = (SlotOptions)PCRS(ALL_PCRS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(fixture_unseal(&f));
}

/* Firmware that follows CNSA is set up like this. */
TEST(bank_of_sha384)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(allocate_sha384), TSS2_RC_SUCCESS);
    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_EQ(tpm_do(extend_pcr7_of_sha384), TSS2_RC_SUCCESS);

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha384");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_TRUE(secret_equal(f.kek, f.again));
    ASSERT_EQ(tpm_do(extend_pcr7_of_sha384), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_unseal(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "bound to PCR 7 (sha384)");
    f.options = (SlotOptions)PCRS(ALL_PCRS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_OK(fixture_unseal(&f));
}

TEST(no_bank)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(allocate_sha512), TSS2_RC_SUCCESS);
    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_EQ(fixture_seal(&f), -EOPNOTSUPP);
    ASSERT_DETAIL(f, "sha256, sha384 and sha1");
}

TEST(bank_of_choice)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    f.options.bank = "sha384";
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha384");
    ASSERT_OK(fixture_unseal(&f));
    /* A kept bank is left when another one has become better. */
    f.options.bank_kept = true;
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    f.options.bank = "sha1";
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    f.options.bank = "md5";
    ASSERT_EQ(fixture_seal(&f), -EINVAL);

    ASSERT_EQ(tpm_do(allocate_sha1), TSS2_RC_SUCCESS);
    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));
    f.options.bank = "sha384";
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    f.options.bank_kept = false;
    ASSERT_EQ(fixture_seal(&f), -EOPNOTSUPP);
    ASSERT_DETAIL(f, "in its bank sha384");
}

static const char *unmeasured(const Fixture *f)
{
    json_object *pcrs;

    return json_get_array(f->slot, "unmeasured", &pcrs) > 0
               ? json_object_to_json_string_ext(pcrs, JSON_C_TO_STRING_PLAIN)
               : "";
}

TEST(unmeasured_is_noted)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(PCR(4) | PCR(7) | PCR(17))};

    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(unmeasured(&f), "[4,7,17]");
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_EQ(tpm_do(extend_pcr7), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(unmeasured(&f), "[4,17]");
    ASSERT_OK(fixture_unseal(&f));
    f.options = (SlotOptions)PCRS(PCR(7));
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(unmeasured(&f), "");
}

TEST(bank_without_measurements)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    /* Without any measurement the first bank is chosen, and its first measurement makes the slot
     * unusable. */
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    ASSERT_OK(fixture_unseal(&f));

    ASSERT_EQ(tpm_do(extend_pcr7_of_sha1), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_unseal(&f));
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    ASSERT_OK(fixture_unseal(&f));
}

/* One measured PCR of the set makes the bank a good one, as in systemd. */
TEST(bank_of_several)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {.options = PCRS(PCR(4) | PCR(7))};

    ASSERT_EQ(tpm_do(extend_pcr7_of_sha1), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");
    ASSERT_OK(fixture_unseal(&f));

    /* A reset leaves all one bits in PCR 17, so that is no measurement either. */
    f.options = (SlotOptions)PCRS(PCR(7) | PCR(17));
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha1");

    ASSERT_EQ(extend_set(PCR(4), 2), TSS2_RC_SUCCESS);
    f.options = (SlotOptions)PCRS(PCR(4) | PCR(7));
    ASSERT_OK(fixture_seal(&f));
    ASSERT_STR(member(f.slot, "bank"), "sha256");
    ASSERT_OK(fixture_unseal(&f));
}
