/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/limits.h"
#include "credstore/detail.h"
#include "credstore/slot.h"
#include "credstore/tpm2-context.h"
#include "credstore/tpm2-pcr.h"
#include "credstore/tpm2-slot.h"
#include "credstore/tpm2-srk.h"

/*
 * Seals the KEK in a TPM2: a keyed-hash object below the storage root key, to be unsealed by that
 * very TPM only, and only while PCR 7 (the Secure Boot policy) has the value it had at sealing. It
 * never crosses the bus in clear. At sealing the storage root key is taken on trust; from then on
 * its name is pinned.
 */

#define SEAL_PCR 7

/* Each try takes four commands. Boot phases are measured one at a time, seconds apart. */
#define UNSEAL_TRIES 8

static inline void sensitive_freep(TPM2B_SENSITIVE_DATA **data)
{
    if (*data)
        explicit_bzero(*data, sizeof(**data));
    Esys_Free(*data);
}

static int create_sealed(Tpm2Context *c, ESYS_TR srk, ESYS_TR session, const Secret *kek,
                         const TPM2B_DIGEST *policy, Tpm2Slot *ret)
{
    static const TPM2B_DATA no_data = {};
    static const TPML_PCR_SELECTION no_pcrs = {};
    TPM2B_SENSITIVE_CREATE secret = {};
    CLEANUP_ERASE(secret);
    TPM2B_PUBLIC template = tpm2_sealed_template;
    _cleanup_(esys_freep) TPM2B_PUBLIC *public = NULL;
    _cleanup_(esys_freep) TPM2B_PRIVATE *private = NULL;
    TSS2_RC rc;
    int r;

    template.publicArea.authPolicy = *policy;
    secret.sensitive.data.size = (uint16_t)kek->size;
    memcpy(secret.sensitive.data.buffer, kek->data, kek->size);
    rc = Esys_Create(c->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &secret, &template,
                     &no_data, &no_pcrs, &private, &public, NULL, NULL, NULL);
    r = tpm2_check(c, rc, "seal the key");
    if (r < 0)
        return r;

    ret->public = *public;
    ret->private = *private;
    return 0;
}

/* Binds to PCR 7 as it is now. The value read is authenticated: else an interposer could have the
 * key sealed to a state of its choice. */
static int make_policy(Tpm2Context *c, ESYS_TR srk, Tpm2Slot *ret, TPM2B_DIGEST *ret_policy)
{
    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);
    TPM2B_DIGEST value;
    int r;

    r = tpm2_session_start(c, srk, TPM2_SESSION_AUDIT, &session);
    if (r < 0)
        return r;
    r = tpm2_pcr_choose(c, session.tr, SEAL_PCR, &ret->bank, &value);
    if (r < 0)
        return r;
    ret->pcrs = UINT32_C(1) << SEAL_PCR;
    return tpm2_pcr_policy(ret->bank, SEAL_PCR, &value, ret_policy);
}

static int seal_in_tpm(const Secret *kek, Tpm2Slot *ret, char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TPM2B_DIGEST policy;
    ESYS_TR srk;
    int r;

    r = tpm2_context_open(reterr_detail, &c);
    if (r < 0)
        return r;

    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);

    r = tpm2_srk_require(c, &srk);
    if (r < 0)
        return r;
    r = tpm2_key_name(c, srk, &ret->srk_name);
    if (r < 0)
        return r;
    r = make_policy(c, srk, ret, &policy);
    if (r < 0)
        return r;
    r = tpm2_session_start(c, srk, TPM2_SESSION_ENCRYPT, &session);
    if (r < 0)
        return r;
    return create_sealed(c, srk, session.tr, kek, &policy, ret);
}

static int check_srk(Tpm2Context *c, const TPM2B_NAME *pinned, ESYS_TR *ret)
{
    TPM2B_NAME name;
    int r;

    r = tpm2_srk_find(c, ret);
    if (r == -ENOENT)
        return detail_set(c->reterr_detail, -EKEYREJECTED,
                          "this is another TPM or it was cleared: it has no storage root key");
    if (r < 0)
        return r;
    r = tpm2_key_name(c, *ret, &name);
    if (r < 0)
        return r;
    if (name.size != pinned->size || memcmp(name.name, pinned->name, name.size) != 0)
        return detail_set(c->reterr_detail, -EKEYREJECTED,
                          "this is another TPM or it was cleared: its storage root key is not the "
                          "one that sealed");
    return 0;
}

static int load_sealed(Tpm2Context *c, ESYS_TR srk, ESYS_TR session, const Tpm2Slot *slot,
                       Tpm2Transient *ret)
{
    TSS2_RC rc = Esys_Load(c->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &slot->private,
                           &slot->public, &ret->tr);

    return tpm2_check(c, rc, "load the sealed key");
}

static int unseal_once(Tpm2Context *c, ESYS_TR object, ESYS_TR session, const Tpm2Slot *slot,
                       Secret **ret)
{
    static const TPMT_SYM_DEF no_cipher = {.algorithm = TPM2_ALG_NULL};
    _cleanup_(sensitive_freep) TPM2B_SENSITIVE_DATA *data = NULL;
    _cleanup_(tpm2_transient_flush) Tpm2Transient policy = TPM2_TRANSIENT(c);
    TPML_PCR_SELECTION selection;
    TSS2_RC rc;
    int r;

    rc = Esys_StartAuthSession(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &no_cipher, TPM2_ALG_SHA256,
                               &policy.tr);
    r = tpm2_check(c, rc, "start a policy session");
    if (r < 0)
        return r;
    tpm2_pcr_select(slot->bank, slot->pcrs, &selection);
    rc = Esys_PolicyPCR(c->esys, policy.tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                        &selection);
    r = tpm2_check(c, rc, "apply the PCR policy");
    if (r < 0)
        return r;
    rc = Esys_Unseal(c->esys, object, policy.tr, session, ESYS_TR_NONE, &data);
    r = tpm2_check(c, rc, "unseal the key");
    if (r < 0)
        return r;
    if (data->size != STORE_KEY_SIZE)
        return detail_set(c->reterr_detail, -EBADMSG, "what the TPM unsealed is no key");

    *ret = secret_new_copy(data->buffer, data->size);
    return *ret ? 0 : -ENOMEM;
}

static int unseal_in_tpm(const Tpm2Slot *slot, Secret **ret, char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    ESYS_TR srk;
    int r;

    r = tpm2_context_open(reterr_detail, &c);
    if (r < 0)
        return r;

    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);
    _cleanup_(tpm2_transient_flush) Tpm2Transient object = TPM2_TRANSIENT(c);

    r = check_srk(c, &slot->srk_name, &srk);
    if (r < 0)
        return r;
    r = tpm2_session_start(c, srk, TPM2_SESSION_ENCRYPT, &session);
    if (r < 0)
        return r;
    r = load_sealed(c, srk, session.tr, slot, &object);
    if (r < 0)
        return r;

    r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < UNSEAL_TRIES; i++)
        r = unseal_once(c, object.tr, session.tr, slot, ret);
    /* It may work later, so it is no rejection. */
    if (r == -EAGAIN)
        return detail_set(reterr_detail, -ETIMEDOUT,
                          "cannot unseal the key: PCRs change over and over");
    return r;
}

static int tpm2_usable(void)
{
    return tpm2_device_check();
}

static int tpm2_seal(const Secret *kek, _unused_ const SlotOptions *options, json_object *slot, char **reterr_detail)
{
    Tpm2Slot sealed;
    int r;

    if (kek->size != STORE_KEY_SIZE)
        return -EINVAL;
    r = seal_in_tpm(kek, &sealed, reterr_detail);
    if (r < 0)
        return r;
    return tpm2_slot_format(&sealed, slot);
}

static int tpm2_unseal(json_object *slot, _unused_ const SlotOptions *options, Secret **ret_kek, char **reterr_detail)
{
    Tpm2Slot sealed;

    if (tpm2_slot_parse(slot, &sealed) < 0)
        return detail_set(reterr_detail, -EBADMSG, "the members of the slot make no sense");
    return unseal_in_tpm(&sealed, ret_kek, reterr_detail);
}

const SlotType slot_tpm2 = {
    .name = "tpm2",
    .usable = tpm2_usable,
    .seal = tpm2_seal,
    .unseal = tpm2_unseal,
};
