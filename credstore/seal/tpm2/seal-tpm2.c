/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/detail.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/object.h"
#include "credstore/seal/tpm2/pcr.h"
#include "credstore/seal/tpm2/srk.h"
#include "credstore/seal/ways.h"

/*
 * Seals the KEK in a TPM2, as a keyed-hash object below the storage root key. Only that TPM unseals
 * it, and only while some PCRs have the values they had at sealing. It never crosses the bus in
 * clear. The first slot of a store trusts the storage root key that it finds; from then on its name
 * is pinned, for further slots of the store too.
 */

/* The Secure Boot policy. */
#define DEFAULT_PCRS (UINT32_C(1) << 7)

/* Each try takes four commands. Boot phases are measured one at a time, seconds apart. */
#define UNSEAL_TRIES 8

static inline void sensitive_freep(TPM2B_SENSITIVE_DATA **data)
{
    if (*data)
        explicit_bzero(*data, sizeof(**data));
    Esys_Free(*data);
}

/* The PCRs, their bank and the storage root keys that a key may be sealed to. */
typedef struct Wanted {
    uint32_t pcrs;
    Tpm2BankChoice bank;
    const Tpm2Names *known; /* storage root keys; NULL or none: the one that is there */
} Wanted;

static int create_sealed(Tpm2Context *c, ESYS_TR srk, ESYS_TR session, const Secret *kek,
                         const TPM2B_DIGEST *policy, Tpm2Object *ret)
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

/* Binds to the present values of pcrs. The values are authenticated, and the policy is computed
 * here, because an interposer on the bus could add to a trial session of the TPM, and so seal the
 * key to a state of its choice. */
static int make_policy(Tpm2Context *c, ESYS_TR srk, const Wanted *wanted, Tpm2Object *ret,
                       TPM2B_DIGEST *ret_policy)
{
    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);
    Tpm2PcrState state;
    int r;

    ret->pcrs = wanted->pcrs;
    ret->unmeasured = 0;
    if (wanted->pcrs == 0) {
        ret->bank = TPM2_ALG_NULL;
        *ret_policy = (TPM2B_DIGEST){.size = TPM2_SHA256_DIGEST_SIZE};
        return 0;
    }
    r = tpm2_session_start(c, srk, TPM2_SESSION_AUDIT, &session);
    if (r < 0)
        return r;
    r = tpm2_pcr_choose(c, session.tr, wanted->pcrs, &wanted->bank, &state);
    if (r < 0)
        return r;
    ret->bank = state.bank;
    ret->unmeasured = state.unmeasured;
    return tpm2_pcr_policy(state.bank, wanted->pcrs, &state.digest, ret_policy);
}

/* Finds the parent of the sealed object. */
static int find_parent(Tpm2Context *c, const Tpm2Names *known, ESYS_TR *ret)
{
    _cleanup_(freep) char *why = NULL;
    int r;

    if (!known || known->n == 0)
        return tpm2_srk_require(c, ret);
    r = tpm2_srk_known(c, known, ret);
    if (r != -EKEYREJECTED || !c->reterr_detail)
        return r;
    why = TAKE_PTR(*c->reterr_detail);
    return detail_set(c->reterr_detail, r, "%s; if you replaced or cleared it, use --new-tpm",
                      why ? why : "this is another TPM");
}

static int seal_in_tpm(const Secret *kek, const Wanted *wanted, Tpm2Object *ret,
                       char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TPM2B_DIGEST policy;
    ESYS_TR srk;
    int r;

    r = tpm2_context_open(reterr_detail, &c);
    if (r < 0)
        return r;

    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);

    r = find_parent(c, wanted->known, &srk);
    if (r < 0)
        return r;
    r = tpm2_key_name(c, srk, &ret->srk_name);
    if (r < 0)
        return r;
    r = make_policy(c, srk, wanted, ret, &policy);
    if (r < 0)
        return r;
    r = tpm2_session_start(c, srk, TPM2_SESSION_ENCRYPT, &session);
    if (r < 0)
        return r;
    return create_sealed(c, srk, session.tr, kek, &policy, ret);
}

static int load_sealed(Tpm2Context *c, ESYS_TR srk, ESYS_TR session, const Tpm2Object *sealed,
                       Tpm2Transient *ret)
{
    TSS2_RC rc = Esys_Load(c->esys, srk, session, ESYS_TR_NONE, ESYS_TR_NONE, &sealed->private,
                           &sealed->public, &ret->tr);

    return tpm2_check(c, rc, "load the sealed key");
}

/* An object without a PCR has the empty policy, which any policy session satisfies. */
static int apply_policy(Tpm2Context *c, ESYS_TR policy, const Tpm2Object *sealed)
{
    TPML_PCR_SELECTION selection;
    TSS2_RC rc;

    if (sealed->pcrs == 0)
        return 0;
    tpm2_pcr_select(sealed->bank, sealed->pcrs, &selection);
    rc =
        Esys_PolicyPCR(c->esys, policy, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &selection);
    return tpm2_check(c, rc, "apply the PCR policy");
}

static int check_unsealed(Tpm2Context *c, TSS2_RC rc, const Tpm2Object *sealed)
{
    char pcrs[TPM2_PCRS_TEXT_SIZE];

    if (sealed->pcrs == 0 || !tpm2_rc_is(rc, TPM2_RC_POLICY_FAIL))
        return tpm2_check(c, rc, "unseal the key");
    tpm2_pcrs_describe(sealed->bank, sealed->pcrs, pcrs);
    return detail_set(c->reterr_detail, -EKEYREJECTED,
                      "cannot unseal the key: it is bound to %s, whose values have changed, as "
                      "after a change of firmware, Secure Boot settings or boot loader",
                      pcrs);
}

static int unseal_once(Tpm2Context *c, ESYS_TR object, ESYS_TR session, const Tpm2Object *sealed,
                       Secret **ret)
{
    static const TPMT_SYM_DEF no_cipher = {.algorithm = TPM2_ALG_NULL};
    _cleanup_(sensitive_freep) TPM2B_SENSITIVE_DATA *data = NULL;
    _cleanup_(tpm2_transient_flush) Tpm2Transient policy = TPM2_TRANSIENT(c);
    TSS2_RC rc;
    int r;

    rc = Esys_StartAuthSession(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                               ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &no_cipher, TPM2_ALG_SHA256,
                               &policy.tr);
    r = tpm2_check(c, rc, "start a policy session");
    if (r < 0)
        return r;
    r = apply_policy(c, policy.tr, sealed);
    if (r < 0)
        return r;
    rc = Esys_Unseal(c->esys, object, policy.tr, session, ESYS_TR_NONE, &data);
    r = check_unsealed(c, rc, sealed);
    if (r < 0)
        return r;
    if (data->size != STORE_KEY_SIZE)
        return detail_set(c->reterr_detail, -EBADMSG, "the unsealed object is no key");

    *ret = secret_new_copy(data->buffer, data->size);
    return *ret ? 0 : -ENOMEM;
}

static int unseal_in_tpm(const Tpm2Object *sealed, Secret **ret, char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    ESYS_TR srk;
    int r;

    r = tpm2_context_open(reterr_detail, &c);
    if (r < 0)
        return r;

    _cleanup_(tpm2_transient_flush) Tpm2Transient session = TPM2_TRANSIENT(c);
    _cleanup_(tpm2_transient_flush) Tpm2Transient object = TPM2_TRANSIENT(c);

    r = tpm2_srk_pinned(c, &sealed->srk_name, &srk);
    if (r < 0)
        return r;
    r = tpm2_session_start(c, srk, TPM2_SESSION_ENCRYPT, &session);
    if (r < 0)
        return r;
    r = load_sealed(c, srk, session.tr, sealed, &object);
    if (r < 0)
        return r;

    r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < UNSEAL_TRIES; i++)
        r = unseal_once(c, object.tr, session.tr, sealed, ret);
    /* It may work later, so this is no rejection. */
    if (r == -EAGAIN)
        return detail_set(reterr_detail, -ETIMEDOUT, "cannot unseal the key: PCRs keep changing");
    return r;
}

static int tpm2_usable(void)
{
    return tpm2_device_check();
}

static int tpm2_seal(const Secret *kek, const SlotOptions *options, json_object *slot,
                     char **reterr_detail)
{
    Wanted wanted = {.pcrs = options->pcrs_given ? options->pcrs : DEFAULT_PCRS,
                     .known = options->new_tpm ? NULL : options->known_tpms,
                     .bank.required = options->bank && !options->bank_kept};
    Tpm2Object sealed;
    int r;

    if (kek->size != STORE_KEY_SIZE || wanted.pcrs >> TPM2_PCRS != 0)
        return -EINVAL;
    if (options->bank && tpm2_bank_from_string(options->bank, &wanted.bank.bank) < 0)
        return detail_set(reterr_detail, -EINVAL, "a bank of PCRs is sha256, sha384 or sha1");
    r = seal_in_tpm(kek, &wanted, &sealed, reterr_detail);
    if (r < 0)
        return r;
    return tpm2_object_format(&sealed, slot);
}

static int tpm2_unseal(json_object *slot, const SlotOptions *options, Secret **ret_kek,
                       char **reterr_detail)
{
    Tpm2Object sealed;

    if (options->closed_ways & WAY_TPM2)
        return detail_set(reterr_detail, -EXDEV, WAY_CLOSED);
    if (tpm2_object_parse(slot, &sealed) < 0)
        return detail_set(reterr_detail, -EBADMSG, "the members of the slot are malformed");
    return unseal_in_tpm(&sealed, ret_kek, reterr_detail);
}

const SlotType slot_tpm2 = {
    .name = "tpm2",
    .usable = tpm2_usable,
    .seal = tpm2_seal,
    .unseal = tpm2_unseal,
};
