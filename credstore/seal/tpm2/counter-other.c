/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/encoding.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/counter-public.h"
#include "credstore/seal/tpm2/counter.h"
#include "credstore/seal/tpm2/srk.h"

/* AUTHREAD and AUTHWRITE only: the owner hierarchy, which often has no password, can neither read
 * nor increment. NO_DA: a lockout by others does not stop us, and 256 bits need no protection from
 * guessing. Not ORDERLY: after a power cut the TPM would jump ahead by an unknown number. */
#define COUNTER_ATTRIBUTES                                                                         \
    (TPMA_NV_AUTHREAD | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA |                                        \
     (TPMA_NV)(TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT))

/* The policy digest: a mark, the identity of the store, and random bytes. */
#define MARK "nvmekeyd"
#define MARK_SIZE (sizeof(MARK) - 1)
#define OWNER_BYTES ((TPM2_COUNTER_OWNER_SIZE - 1) / 2)
#define RANDOM_OFFSET (MARK_SIZE + OWNER_BYTES)

/* Handles that one command requests. */
#define HANDLES 64

static int read_owner(const char *owner, uint8_t ret[static OWNER_BYTES])
{
    char again[TPM2_COUNTER_OWNER_SIZE];

    if (strlen(owner) != TPM2_COUNTER_OWNER_SIZE - 1)
        return -EINVAL;
    for (size_t i = 0; i < OWNER_BYTES; i++) {
        unsigned byte = 0;

        if (sscanf(owner + 2 * i, "%2x", &byte) != 1)
            return -EINVAL;
        ret[i] = (uint8_t)byte;
    }
    hex_encode(ret, OWNER_BYTES, again);
    return strcmp(owner, again) == 0 ? 0 : -EINVAL;
}

int tpm2_counter_public(const char *owner, uint32_t index, uint64_t nonce, TPM2B_NV_PUBLIC *ret)
{
    TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = index,
                                           .nameAlg = TPM2_ALG_SHA256,
                                           .attributes = COUNTER_ATTRIBUTES,
                                           .authPolicy.size = TPM2_SHA256_DIGEST_SIZE,
                                           .dataSize = sizeof(uint64_t)}};
    uint8_t *policy = public.nvPublic.authPolicy.buffer;
    int r;

    memcpy(policy, MARK, MARK_SIZE);
    r = read_owner(owner, policy + MARK_SIZE);
    if (r < 0)
        return r;
    _Static_assert(RANDOM_OFFSET + sizeof(nonce) == TPM2_SHA256_DIGEST_SIZE, "nonce has its size");
    memcpy(policy + RANDOM_OFFSET, &nonce, sizeof(nonce));
    *ret = public;
    return 0;
}

static bool is_marked(const TPMS_NV_PUBLIC *public)
{
    return public->nameAlg == TPM2_ALG_SHA256 &&
           (public->attributes & ~TPMA_NV_WRITTEN) == COUNTER_ATTRIBUTES &&
           public->dataSize == sizeof(uint64_t) &&
           public->authPolicy.size == TPM2_SHA256_DIGEST_SIZE &&
           memcmp(public->authPolicy.buffer, MARK, MARK_SIZE) == 0;
}

/* Returns -ENOENT for an index that is not a counter of a store. */
static int read_mark(Tpm2Context *c, uint32_t index, ESYS_TR *ret, Tpm2CounterMark *ret_mark)
{
    _cleanup_(esys_freep) TPM2B_NV_PUBLIC *public = NULL;
    ESYS_TR nv;
    TSS2_RC rc =
        Esys_TR_FromTPMPublic(c->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv);
    int r;

    if (tpm2_rc_is(rc, TPM2_RC_HANDLE))
        return -ENOENT;
    r = tpm2_check(c, rc, "find a counter");
    if (r < 0)
        return r;
    rc = Esys_NV_ReadPublic(c->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL);
    r = tpm2_check(c, rc, "read the public area of a counter");
    if (r < 0)
        return r;
    if (!is_marked(&public->nvPublic))
        return -ENOENT;

    *ret = nv;
    ret_mark->index = index;
    hex_encode(public->nvPublic.authPolicy.buffer + MARK_SIZE, OWNER_BYTES, ret_mark->owner);
    return 0;
}

/* Lists the indices of our range from first on, in rising order; *ret_more: there may be more. */
static int list_indices(Tpm2Context *c, uint32_t first, uint32_t ret[static HANDLES], size_t *ret_n,
                        bool *ret_more)
{
    _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;
    TSS2_RC rc = Esys_GetCapability(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    TPM2_CAP_HANDLES, first, HANDLES, &more, &data);
    int r = tpm2_check(c, rc, "list the counters");

    if (r < 0)
        return r;
    *ret_n = 0;
    for (uint32_t i = 0; i < data->data.handles.count && *ret_n < HANDLES; i++)
        if (data->data.handles.handle[i] >= first &&
            data->data.handles.handle[i] <= TPM2_COUNTER_LAST)
            ret[(*ret_n)++] = data->data.handles.handle[i];
    *ret_more = more && *ret_n > 0 && *ret_n == data->data.handles.count;
    return 0;
}

/* Returns 1 if index is a counter of another store, else 0. */
static int is_other(Tpm2Context *c, uint32_t index, const char *owner, Tpm2CounterMark *ret)
{
    ESYS_TR nv;
    int r = read_mark(c, index, &nv, ret);

    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : strcmp(ret->owner, owner) != 0;
}

int tpm2_counter_find_other(const char owner[static TPM2_COUNTER_OWNER_SIZE], Tpm2CounterMark *ret,
                            char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    uint32_t indices[HANDLES], first = TPM2_COUNTER_FIRST;
    Tpm2CounterMark mark;
    bool more = false;
    size_t n = 0;
    int r;

    r = tpm2_context_open(reterr_detail, &c);
    if (r < 0)
        return r;
    do {
        r = list_indices(c, first, indices, &n, &more);
        for (size_t i = 0; i < n && r == 0; i++)
            r = is_other(c, indices[i], owner, &mark);
        if (n > 0)
            first = indices[n - 1] + 1;
    } while (r == 0 && more);
    if (r > 0)
        *ret = mark;
    return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

int tpm2_counter_remove_marked(uint32_t index, char **reterr_detail)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    Tpm2CounterMark mark;
    ESYS_TR nv;
    TSS2_RC rc;
    int r = -ENOENT;

    if (index >= TPM2_COUNTER_FIRST && index <= TPM2_COUNTER_LAST) {
        r = tpm2_context_open(reterr_detail, &c);
        if (r < 0)
            return r;
        r = read_mark(c, index, &nv, &mark);
    }
    if (r == -ENOENT)
        return detail_set(reterr_detail, r, "the TPM has no rollback counter of a store at 0x%x",
                          index);
    if (r < 0)
        return r;
    /* No secret crosses the bus, so this needs no encrypted session. */
    rc = Esys_NV_UndefineSpace(c->esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                               ESYS_TR_NONE);
    return tpm2_owner_check(c, rc, "remove the counter",
                            "its owner can do it with tpm2_nvundefine(1) and the password");
}
