/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "basic/detail.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/counter-public.h"
#include "credstore/seal/tpm2/counter.h"
#include "credstore/seal/tpm2/srk.h"

/* A random index may be taken, but hardly this many. */
#define DEFINE_TRIES 16

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
    *ret = (TPM2B_NAME){.size = (uint16_t)name->size};
    memcpy(ret->name, name->data, name->size);
}

static void name_from_tss(const TPM2B_NAME *name, Tpm2Name *ret)
{
    _Static_assert(sizeof(name->name) <= sizeof(ret->data), "TPM2_NAME_MAX is too small");
    *ret = (Tpm2Name){.size = name->size};
    memcpy(ret->data, name->name, name->size);
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

/* Returns -EEXIST if the index is taken. */
static int define_at(Talk *t, const char *owner, const TPM2B_AUTH *password, uint32_t index)
{
    TPM2B_NV_PUBLIC public;
    TSS2_RC rc;
    int r = tpm2_counter_public(owner, index, &public);

    if (r < 0)
        return r;
    rc = Esys_NV_DefineSpace(t->context->esys, ESYS_TR_RH_OWNER, t->session.tr, ESYS_TR_NONE,
                             ESYS_TR_NONE, password, &public, &t->nv);
    return tpm2_rc_is(rc, TPM2_RC_NV_DEFINED) ? -EEXIST
                                              : owner_check(t->context, rc, "define a counter");
}

static int define(Talk *t, const char *owner, const TPM2B_AUTH *password, uint32_t *ret_index)
{
    for (int i = 0; i < DEFINE_TRIES; i++) {
        uint16_t offset;
        int r;

        _Static_assert(TPM2_COUNTER_LAST - TPM2_COUNTER_FIRST == UINT16_MAX, "offset has 16 bits");
        if (RAND_bytes((uint8_t *)&offset, sizeof(offset)) != 1)
            return -EIO;
        r = define_at(t, owner, password, TPM2_COUNTER_FIRST + offset);
        if (r != -EEXIST) {
            *ret_index = TPM2_COUNTER_FIRST + offset;
            return r;
        }
    }
    return detail_set(t->context->reterr_detail, -EIO, "cannot define a counter: no index is free");
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

/* Gives the counter its first value, which changes its name for the last time. */
static int start_counting(Talk *t, Tpm2Counter *ret)
{
    TPM2B_NAME name;
    int r;

    r = increment(t);
    if (r < 0)
        return r;
    r = nv_name(t, &name);
    if (r < 0)
        return r;
    name_from_tss(&name, &ret->name);
    return 0;
}

/* The name of the storage root key is pinned first, so the password goes to no other TPM. */
static int create(Talk *t, const char *owner, const TPM2B_AUTH *password, Tpm2Counter *ret,
                  char **reterr_detail)
{
    int r = open_pinned(t, &ret->srk_name, reterr_detail);

    if (r < 0)
        return r;
    r = tpm2_session_start(t->context, t->srk, TPM2_SESSION_ENCRYPT, &t->session);
    if (r < 0)
        return r;
    r = define(t, owner, password, &ret->index);
    if (r < 0)
        return r;
    r = start_counting(t, ret);
    if (r < 0)
        (void)undefine(t);
    return r;
}

int tpm2_counter_create(const Tpm2Name *srk_name, const char owner[static TPM2_COUNTER_OWNER_SIZE],
                        const Secret *auth, Tpm2Counter *ret, char **reterr_detail)
{
    _cleanup_(talk_done) Talk talk = {};
    TPM2B_AUTH password;
    CLEANUP_ERASE(password);
    Tpm2Counter counter = {.srk_name = *srk_name};
    int r;

    if (auth->size != STORE_KEY_SIZE)
        return -EINVAL;
    password_from_secret(auth, &password);
    r = create(&talk, owner, &password, &counter, reterr_detail);
    if (r < 0)
        return r;

    *ret = counter;
    return 0;
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
