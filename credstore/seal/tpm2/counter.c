/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "basic/detail.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/counter-public.h"
#include "credstore/seal/tpm2/counter.h"
#include "credstore/seal/tpm2/srk.h"

/* The name of an index: the algorithm, and the digest of its public area. */
static int compute_name(const TPMS_NV_PUBLIC *public, Tpm2Name *ret)
{
    uint8_t area[sizeof(*public)];
    size_t size = 0, n = 0;

    if (Tss2_MU_TPMS_NV_PUBLIC_Marshal(public, area, sizeof(area), &size) != TSS2_RC_SUCCESS ||
        Tss2_MU_UINT16_Marshal(public->nameAlg, ret->data, sizeof(ret->data), &n) !=
            TSS2_RC_SUCCESS ||
        EVP_Digest(area, size, ret->data + n, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;
    ret->size = n + TPM2_SHA256_DIGEST_SIZE;
    return 0;
}

int tpm2_counter_plan(const Tpm2Name *srk_name, const char owner[static TPM2_COUNTER_OWNER_SIZE],
                      Tpm2CounterPlan *ret)
{
    Tpm2CounterPlan plan = {.counter.srk_name = *srk_name};
    TPM2B_NV_PUBLIC public;
    uint16_t offset;
    int r;

    _Static_assert(TPM2_COUNTER_LAST - TPM2_COUNTER_FIRST == UINT16_MAX, "offset has 16 bits");
    if (RAND_bytes((uint8_t *)&offset, sizeof(offset)) != 1 ||
        RAND_bytes((uint8_t *)&plan.nonce, sizeof(plan.nonce)) != 1)
        return -EIO;
    plan.counter.index = TPM2_COUNTER_FIRST + offset;
    plan.unwritten = plan.counter;
    r = tpm2_counter_public(owner, plan.counter.index, plan.nonce, &public);
    if (r == 0)
        r = compute_name(&public.nvPublic, &plan.unwritten.name);
    public.nvPublic.attributes |= TPMA_NV_WRITTEN;
    if (r == 0)
        r = compute_name(&public.nvPublic, &plan.counter.name);
    if (r == 0)
        *ret = plan;
    return r;
}

/* A conversation with the TPM about one counter. */
typedef struct Talk {
    Tpm2Context *context;
    ESYS_TR srk;
    Tpm2Transient session; /* salted to srk; encrypts and authenticates */
    ESYS_TR nv;
} Talk;

static void talk_done(Talk *t)
{
    if (t->context)
        tpm2_transient_flush(&t->session);
    t->context = tpm2_context_close(t->context);
}

static void password_from_secret(const Secret *secret, TPM2B_AUTH *ret)
{
    ret->size = (uint16_t)secret->size;
    memcpy(ret->buffer, secret->data, secret->size);
}

static void name_to_tss(const Tpm2Name *name, TPM2B_NAME *ret)
{
    _Static_assert(sizeof(ret->name) <= sizeof(name->data), "TPM2_NAME_MAX is too small");
    *ret = (TPM2B_NAME){.size = (uint16_t)name->size};
    memcpy(ret->name, name->data, name->size);
}

/* As tpm2_check(), for commands that the password of the counter authorizes. */
static int password_check(Tpm2Context *c, TSS2_RC rc, const char *what)
{
    if (tpm2_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm2_rc_is(rc, TPM2_RC_AUTH_FAIL))
        return detail_set(c->reterr_detail, -EKEYREJECTED,
                          "cannot %s: it has another password, so it was replaced", what);
    return tpm2_check(c, rc, what);
}

static int owner_check(Tpm2Context *c, TSS2_RC rc, const char *what)
{
    return tpm2_owner_check(c, rc, what, "a counter needs a hierarchy without one");
}

static int define(Talk *t, const TPM2B_NV_PUBLIC *public, const TPM2B_AUTH *password)
{
    TSS2_RC rc = Esys_NV_DefineSpace(t->context->esys, ESYS_TR_RH_OWNER, t->session.tr,
                                     ESYS_TR_NONE, ESYS_TR_NONE, password, public, &t->nv);

    if (tpm2_rc_is(rc, TPM2_RC_NV_DEFINED))
        return detail_set(t->context->reterr_detail, -EADDRINUSE,
                          "cannot define a counter: the index 0x%x of the TPM is taken",
                          public->nvPublic.nvIndex);
    return owner_check(t->context, rc, "define a counter");
}

static int undefine(Talk *t)
{
    TSS2_RC rc = Esys_NV_UndefineSpace(t->context->esys, ESYS_TR_RH_OWNER, t->nv, t->session.tr,
                                       ESYS_TR_NONE, ESYS_TR_NONE);

    return owner_check(t->context, rc, "remove the counter");
}

static int increment(Talk *t)
{
    TSS2_RC rc = Esys_NV_Increment(t->context->esys, t->nv, t->nv, t->session.tr, ESYS_TR_NONE,
                                   ESYS_TR_NONE);

    return password_check(t->context, rc, "increment the counter");
}

static int read_value(Talk *t, uint64_t *ret)
{
    _cleanup_(esys_freep) TPM2B_MAX_NV_BUFFER *data = NULL;
    uint64_t value;
    TSS2_RC rc;
    int r;

    rc = Esys_NV_Read(t->context->esys, t->nv, t->nv, t->session.tr, ESYS_TR_NONE, ESYS_TR_NONE,
                      sizeof(value), 0, &data);
    r = password_check(t->context, rc, "read the counter");
    if (r < 0)
        return r;
    if (data->size != sizeof(value))
        return detail_set(t->context->reterr_detail, -EIO, "the counter is not 64 bits wide");

    memcpy(&value, data->buffer, sizeof(value));
    *ret = be64toh(value);
    return 0;
}

static int nv_name(Talk *t, TPM2B_NAME *ret)
{
    _cleanup_(esys_freep) TPM2B_NAME *name = NULL;
    int r =
        tpm2_check(t->context, Esys_TR_GetName(t->context->esys, t->nv, &name), "name the counter");

    if (r < 0)
        return r;
    *ret = *name;
    return 0;
}

/* Finds the counter of the conversation. The session authenticates its name, so the name is that of
 * the real counter. Returns -ENOENT if this TPM no longer has it. */
static int find(Talk *t, const Tpm2Counter *counter)
{
    TPM2B_NAME name, pinned;
    TSS2_RC rc;
    int r;

    name_to_tss(&counter->name, &pinned);
    rc = Esys_TR_FromTPMPublic(t->context->esys, counter->index, ESYS_TR_NONE, ESYS_TR_NONE,
                               ESYS_TR_NONE, &t->nv);
    if (tpm2_rc_is(rc, TPM2_RC_HANDLE))
        return detail_set(t->context->reterr_detail, -ENOENT,
                          "the counter 0x%x of the TPM is gone: its owner removed it",
                          counter->index);
    r = tpm2_check(t->context, rc, "find the counter");
    if (r < 0)
        return r;
    r = nv_name(t, &name);
    if (r < 0)
        return r;
    if (!tpm2_name_equal(&name, &pinned))
        return detail_set(t->context->reterr_detail, -ENOENT,
                          "the counter 0x%x of the TPM has changed: its owner replaced it",
                          counter->index);
    return 0;
}

static int set_password(Talk *t, const Secret *auth)
{
    TPM2B_AUTH password;
    CLEANUP_ERASE(password);

    if (auth->size != STORE_KEY_SIZE)
        return -EINVAL;
    password_from_secret(auth, &password);
    return tpm2_check(t->context, Esys_TR_SetAuth(t->context->esys, t->nv, &password),
                      "set the password of the counter");
}

/* Opens the TPM whose storage root key has that name. */
static int open_pinned(Talk *t, const Tpm2Name *name, char **reterr_detail)
{
    TPM2B_NAME srk_name;
    int r = tpm2_context_open(reterr_detail, &t->context);

    if (r < 0)
        return r;
    t->session = (Tpm2Transient)TPM2_TRANSIENT(t->context);
    name_to_tss(name, &srk_name);
    return tpm2_srk_pinned(t->context, &srk_name, &t->srk);
}

/* Starts a conversation with the TPM of the counter, without a password if auth is NULL. */
static int talk_start(Talk *t, const Tpm2Counter *counter, const Secret *auth, char **reterr_detail)
{
    int r = open_pinned(t, &counter->srk_name, reterr_detail);

    if (r < 0)
        return r;
    r = find(t, counter);
    if (r < 0)
        return r == -ENOENT && auth ? -EKEYREJECTED : r;
    r = auth ? set_password(t, auth) : 0;
    if (r < 0)
        return r;
    return tpm2_session_start(t->context, t->srk, TPM2_SESSION_ENCRYPT, &t->session);
}

/* Gives the counter its first value, which changes its name for the last time. Under another name
 * than the planned one it could not be found again. */
static int start_counting(Talk *t, const Tpm2Counter *planned)
{
    TPM2B_NAME name, expected;
    int r;

    r = increment(t);
    if (r < 0)
        return r;
    r = nv_name(t, &name);
    if (r < 0)
        return r;
    name_to_tss(&planned->name, &expected);
    return tpm2_name_equal(&name, &expected)
               ? 0
               : detail_set(t->context->reterr_detail, -EIO,
                            "the TPM gave the counter an unexpected name");
}

/* The name of the storage root key is pinned first, so the password goes to no other TPM. */
static int create(Talk *t, const TPM2B_NV_PUBLIC *public, const TPM2B_AUTH *password,
                  const Tpm2Counter *planned, char **reterr_detail)
{
    int r = open_pinned(t, &planned->srk_name, reterr_detail);

    if (r < 0)
        return r;
    r = tpm2_session_start(t->context, t->srk, TPM2_SESSION_ENCRYPT, &t->session);
    if (r < 0)
        return r;
    r = define(t, public, password);
    if (r < 0)
        return r;
    r = start_counting(t, planned);
    if (r < 0)
        (void)undefine(t);
    return r;
}

int tpm2_counter_create(const Tpm2Counter *planned, uint64_t nonce,
                        const char owner[static TPM2_COUNTER_OWNER_SIZE], const Secret *auth,
                        char **reterr_detail)
{
    _cleanup_(talk_done) Talk talk = {};
    TPM2B_NV_PUBLIC public;
    TPM2B_AUTH password;
    CLEANUP_ERASE(password);
    int r;

    if (auth->size != STORE_KEY_SIZE)
        return -EINVAL;
    r = tpm2_counter_public(owner, planned->index, nonce, &public);
    if (r < 0)
        return r;
    password_from_secret(auth, &password);
    return create(&talk, &public, &password, planned, reterr_detail);
}

int tpm2_counter_read(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                      char **reterr_detail)
{
    _cleanup_(talk_done) Talk talk = {};
    int r;

    r = talk_start(&talk, counter, auth, reterr_detail);
    if (r < 0)
        return r;
    return read_value(&talk, ret_value);
}

int tpm2_counter_increment(const Tpm2Counter *counter, const Secret *auth, uint64_t *ret_value,
                           char **reterr_detail)
{
    _cleanup_(talk_done) Talk talk = {};
    int r;

    r = talk_start(&talk, counter, auth, reterr_detail);
    if (r < 0)
        return r;
    r = increment(&talk);
    if (r < 0)
        return r;
    return read_value(&talk, ret_value);
}

int tpm2_counter_remove(const Tpm2Counter *counter, char **reterr_detail)
{
    _cleanup_(talk_done) Talk talk = {};
    int r;

    r = talk_start(&talk, counter, NULL, reterr_detail);
    if (r < 0)
        return r;
    return undefine(&talk);
}
