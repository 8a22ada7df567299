/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "credstore/seal/tpm2/srk.h"

/* Template L-2 of the TCG's EK Credential Profile as its Provisioning Guidance (7.5.1) changes it
 * for an SRK. Its unique field is empty, as in systemd, so both make the same key. */
static const TPM2B_PUBLIC srk_template = {
    .publicArea =
        {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .parameters.eccDetail =
                {
                    .symmetric = {.algorithm = TPM2_ALG_AES,
                                  .keyBits.aes = 128,
                                  .mode.aes = TPM2_ALG_CFB},
                    .scheme.scheme = TPM2_ALG_NULL,
                    .curveID = TPM2_ECC_NIST_P256,
                    .kdf.scheme = TPM2_ALG_NULL,
                },
        },
};

/* Returns -ENOENT without a detail if there is none, or as tpm2_check(). */
static int find(Tpm2Context *c, ESYS_TR *ret)
{
    ESYS_TR srk;
    TSS2_RC rc = Esys_TR_FromTPMPublic(c->esys, TPM2_SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE,
                                       ESYS_TR_NONE, &srk);
    int r;

    if (tpm2_rc_is(rc, TPM2_RC_HANDLE))
        return -ENOENT;
    r = tpm2_check(c, rc, "read the storage root key");
    if (r < 0)
        return r;

    *ret = srk;
    return 0;
}

int tpm2_owner_check(Tpm2Context *c, TSS2_RC rc, const char *what, const char *remedy)
{
    if (tpm2_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm2_rc_is(rc, TPM2_RC_AUTH_FAIL))
        return detail_set(c->reterr_detail, -EKEYREJECTED,
                          "cannot %s: the TPM's owner hierarchy has a password; %s", what, remedy);
    return tpm2_check(c, rc, what);
}

static int srk_owner_check(Tpm2Context *c, TSS2_RC rc, const char *what)
{
    return tpm2_owner_check(c, rc, what, "its owner can persist a storage root key at 0x81000001");
}

static int srk_create(Tpm2Context *c)
{
    static const TPM2B_SENSITIVE_CREATE no_secret = {};
    static const TPM2B_DATA no_data = {};
    static const TPML_PCR_SELECTION no_pcrs = {};
    _cleanup_(tpm2_transient_flush) Tpm2Transient made = TPM2_TRANSIENT(c);
    ESYS_TR srk;
    TSS2_RC rc;
    int r;

    rc = Esys_CreatePrimary(c->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                            &no_secret, &srk_template, &no_data, &no_pcrs, &made.tr, NULL, NULL,
                            NULL, NULL);
    r = srk_owner_check(c, rc, "make a storage root key");
    if (r < 0)
        return r;

    rc = Esys_EvictControl(c->esys, ESYS_TR_RH_OWNER, made.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                           ESYS_TR_NONE, TPM2_SRK_HANDLE, &srk);
    /* Another program persisted one first: use that. */
    if (tpm2_rc_is(rc, TPM2_RC_NV_DEFINED))
        return 0;
    return srk_owner_check(c, rc, "persist the storage root key");
}

int tpm2_srk_require(Tpm2Context *c, ESYS_TR *ret)
{
    int r = find(c, ret);

    if (r != -ENOENT)
        return r;
    r = srk_create(c);
    if (r < 0)
        return r;
    r = find(c, ret);
    if (r == -ENOENT)
        return detail_set(c->reterr_detail, -EIO,
                          "the TPM lost the storage root key that it just made");
    return r;
}

int tpm2_key_name(Tpm2Context *c, ESYS_TR key, TPM2B_NAME *ret)
{
    _cleanup_(esys_freep) TPM2B_NAME *name = NULL;
    int r = tpm2_check(c, Esys_TR_GetName(c->esys, key, &name), "name the storage root key");

    if (r < 0)
        return r;
    *ret = *name;
    return 0;
}

static bool is_known(const TPM2B_NAME *name, const Tpm2Names *known)
{
    for (size_t i = 0; i < known->n; i++)
        if (name->size == known->names[i].size &&
            memcmp(name->name, known->names[i].data, name->size) == 0)
            return true;
    return false;
}

int tpm2_srk_known(Tpm2Context *c, const Tpm2Names *known, ESYS_TR *ret)
{
    TPM2B_NAME name;
    ESYS_TR srk;
    int r;

    r = find(c, &srk);
    if (r == -ENOENT)
        return detail_set(c->reterr_detail, -EKEYREJECTED,
                          "this is another TPM or it was cleared: it has no storage root key");
    if (r < 0)
        return r;
    r = tpm2_key_name(c, srk, &name);
    if (r < 0)
        return r;
    if (!is_known(&name, known))
        return detail_set(
            c->reterr_detail, -EKEYREJECTED,
            "this is another TPM or it was cleared: its storage root key has changed");

    *ret = srk;
    return 0;
}

int tpm2_srk_pinned(Tpm2Context *c, const TPM2B_NAME *pinned, ESYS_TR *ret)
{
    Tpm2Names known = {.n = 1, .names[0].size = pinned->size};

    _Static_assert(sizeof(pinned->name) <= TPM2_NAME_MAX, "TPM2_NAME_MAX is too small");
    memcpy(known.names[0].data, pinned->name, pinned->size);
    return tpm2_srk_known(c, &known, ret);
}

bool tpm2_name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
    return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

int tpm2_session_start(Tpm2Context *c, ESYS_TR srk, Tpm2SessionUse use, Tpm2Transient *ret)
{
    static const TPMT_SYM_DEF aes = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    static const TPMA_SESSION flags[] = {
        [TPM2_SESSION_ENCRYPT] = TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT,
        [TPM2_SESSION_AUDIT] = TPMA_SESSION_AUDIT,
    };
    TSS2_RC rc;
    int r;

    rc = Esys_StartAuthSession(c->esys, srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               NULL, TPM2_SE_HMAC, &aes, TPM2_ALG_SHA256, &ret->tr);
    r = tpm2_check(c, rc, "start an encrypted session");
    if (r < 0)
        return r;
    rc = Esys_TRSess_SetAttributes(c->esys, ret->tr, flags[use] | TPMA_SESSION_CONTINUESESSION,
                                   0xff);
    return tpm2_check(c, rc, "set the attributes of a session");
}
