/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/counter-public.h"
#include "credstore/seal/tpm2/counter.h"
#include "credstore/seal/tpm2/srk.h"
#include "swtpm.h"
#include "test.h"
#include "tpm2-interposer.h"

/* Orders for the functions of ESYS and libcrypto below, which are linked before those of the
 * libraries. */
typedef struct Meddling {
    uint32_t index;    /* choose this index */
    int taken;         /* define other counters at so many indices just before ours */
    TSS2_RC define;    /* return this instead of defining */
    TSS2_RC increment; /* return this instead of incrementing */
} Meddling;

static Meddling meddling;

TSS2_RC Esys_NV_DefineSpace(ESYS_CONTEXT *esys, ESYS_TR owner, ESYS_TR session1, ESYS_TR session2,
                            ESYS_TR session3, const TPM2B_AUTH *auth, const TPM2B_NV_PUBLIC *public,
                            ESYS_TR *ret)
{
    __typeof__(Esys_NV_DefineSpace) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_NV_DefineSpace");
    if (meddling.define)
        return meddling.define;
    if (meddling.taken > 0) {
        meddling.taken--;
        (void)real(esys, owner, session1, session2, session3, auth, public, ret);
    }
    return real(esys, owner, session1, session2, session3, auth, public, ret);
}

int RAND_bytes(unsigned char *buffer, int n)
{
    const uint16_t offset = (uint16_t)(meddling.index - TPM2_COUNTER_FIRST);
    __typeof__(RAND_bytes) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "RAND_bytes");
    if (!meddling.index || n != sizeof(offset))
        return real(buffer, n);
    memcpy(buffer, &offset, sizeof(offset));
    return 1;
}

TSS2_RC Esys_NV_Increment(ESYS_CONTEXT *esys, ESYS_TR auth, ESYS_TR nv, ESYS_TR session1,
                          ESYS_TR session2, ESYS_TR session3)
{
    __typeof__(Esys_NV_Increment) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_NV_Increment");
    if (meddling.increment)
        return meddling.increment;
    return real(esys, auth, nv, session1, session2, session3);
}

#define OWNER "00112233445566778899aabbccddeeff"

/* A counter and its password. */
typedef struct Fixture {
    Secret *auth;
    Tpm2Name srk_name;                   /* empty: that of the present TPM */
    char owner[TPM2_COUNTER_OWNER_SIZE]; /* empty: OWNER */
    Tpm2Counter counter;
    uint64_t value;
    char *detail;
} Fixture;

static void fixture_done(Fixture *f)
{
    meddling = (Meddling){};
    interposer = (Interposer){};
    f->auth = secret_free(f->auth);
    if (f->detail)
        printf("# %s\n", f->detail);
    free(f->detail);
}

static int find_srk_name(Tpm2Name *ret)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TPM2B_NAME name;
    ESYS_TR srk;
    int r;

    if ((r = tpm2_context_open(NULL, &c)) < 0 || (r = tpm2_srk_require(c, &srk)) < 0 ||
        (r = tpm2_key_name(c, srk, &name)) < 0)
        return r;
    ret->size = name.size;
    memcpy(ret->data, name.name, name.size);
    return 0;
}

static int fixture_create(Fixture *f)
{
    const char *owner = f->owner[0] ? f->owner : OWNER;
    Tpm2CounterPlan plan;
    int r;

    if (f->srk_name.size == 0 && find_srk_name(&f->srk_name) < 0)
        f->srk_name.size = 1;
    if (!f->auth && secret_random(STORE_KEY_SIZE, &f->auth) < 0)
        return -ENOMEM;
    r = tpm2_counter_plan(&f->srk_name, owner, &plan);
    if (r == 0)
        r = tpm2_counter_create(&plan.counter, plan.nonce, owner, f->auth, &f->detail);
    if (r == 0)
        f->counter = plan.counter;
    return r;
}

static int fixture_read(Fixture *f)
{
    f->value = 0;
    return tpm2_counter_read(&f->counter, f->auth, &f->value, &f->detail);
}

static int fixture_increment(Fixture *f)
{
    f->value = 0;
    return tpm2_counter_increment(&f->counter, f->auth, &f->value, &f->detail);
}

/* Leaves the counter of a process that is killed before the first increment. */
static TSS2_RC define_unwritten(const Tpm2CounterPlan *plan)
{
    static const TPM2B_AUTH password = {.size = 4, .buffer = "mine"};
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TPM2B_NV_PUBLIC public;
    ESYS_TR nv;

    if (tpm2_context_open(NULL, &c) < 0 ||
        tpm2_counter_public(OWNER, plan->counter.index, plan->nonce, &public) < 0)
        return TSS2_ESYS_RC_IO_ERROR;
    return Esys_NV_DefineSpace(c->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                               ESYS_TR_NONE, &password, &public, &nv);
}

TEST(counts)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_TRUE(f.counter.index >= TPM2_COUNTER_FIRST && f.counter.index <= TPM2_COUNTER_LAST);
    ASSERT_OK(fixture_read(&f));
    uint64_t first = f.value;
    ASSERT_TRUE(first > 0);
    for (uint64_t i = 1; i <= 3; i++) {
        ASSERT_OK(fixture_increment(&f));
        ASSERT_EQ(f.value, first + i);
        ASSERT_OK(fixture_read(&f));
        ASSERT_EQ(f.value, first + i);
    }
    ASSERT_TRUE(tpm_is_clean());

    swtpm_stop(&tpm);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_OK(fixture_read(&f));
    ASSERT_EQ(f.value, first + 3);
    ASSERT_OK(fixture_increment(&f));
    ASSERT_EQ(f.value, first + 4);

    ASSERT_TRUE(!f.detail);
    ASSERT_OK(tpm2_counter_remove(&f.counter, &f.detail));
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "is gone");
    ASSERT_EQ(fixture_increment(&f), -EKEYREJECTED);
    ASSERT_EQ(tpm2_counter_remove(&f.counter, &f.detail), -ENOENT);
    ASSERT_TRUE(tpm_is_clean());
}

/* The password goes only to the TPM with that name. */
TEST(made_in_the_tpm_that_is_meant)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    g.srk_name = f.srk_name;
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_OK(swtpm_start(&other));
    ASSERT_EQ(tpm_do(persist_rsa), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_create(&g), -EKEYREJECTED);
    ASSERT_DETAIL(g, "another TPM");
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_TRUE(tpm_is_clean());
}

/* The owner of a counter can be read without its password, and the counter can be removed. */
TEST(of_another_store)
{
    static const char other[] = "ffeeddccbbaa99887766554433221100";
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {.owner = "ffeeddccbbaa99887766554433221100"};
    Tpm2CounterMark mark;

    ASSERT_EQ(tpm2_counter_find_other(OWNER, &mark, &f.detail), -ENOENT);
    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(tpm2_counter_find_other(OWNER, &mark, &f.detail), -ENOENT);
    ASSERT_OK(fixture_create(&g));
    ASSERT_OK(tpm2_counter_find_other(OWNER, &mark, &f.detail));
    ASSERT_EQ(mark.index, g.counter.index);
    ASSERT_STR(mark.owner, other);
    ASSERT_OK(tpm2_counter_find_other(other, &mark, &f.detail));
    ASSERT_EQ(mark.index, f.counter.index);

    ASSERT_OK(tpm2_counter_remove_marked(g.counter.index, &f.detail));
    ASSERT_EQ(tpm2_counter_find_other(OWNER, &mark, &f.detail), -ENOENT);
    ASSERT_EQ(tpm2_counter_remove_marked(g.counter.index, &g.detail), -ENOENT);
    ASSERT_EQ(tpm2_counter_remove_marked(0x01800001, &g.detail), -ENOENT);
    ASSERT_OK(fixture_read(&f));
    ASSERT_EQ(tpm_do(change_owner_auth), TSS2_RC_SUCCESS);
    ASSERT_EQ(tpm2_counter_remove_marked(f.counter.index, &f.detail), -EKEYREJECTED);
    ASSERT_DETAIL(f, "tpm2_nvundefine");
    ASSERT_TRUE(tpm_is_clean());
}

/* More counters than the TPM lists at a time, and indices that are not ours. */
TEST(among_many)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {.owner = "ffeeddccbbaa99887766554433221100"};
    Tpm2CounterMark mark;
    int made = 0;

    for (uint32_t i = 0; i < 70; i++, made++) {
        meddling.index = TPM2_COUNTER_FIRST + i;
        if (fixture_create(&f) < 0)
            break;
    }
    printf("# %d counters\n", made);
    ASSERT_EQ(tpm2_counter_find_other(OWNER, &mark, &f.detail), -ENOENT);
    if (made > 1) {
        ASSERT_OK(tpm2_counter_remove_marked(TPM2_COUNTER_FIRST, NULL));
        meddling.index = TPM2_COUNTER_LAST;
        ASSERT_OK(fixture_create(&g));
        ASSERT_OK(tpm2_counter_find_other(OWNER, &mark, &f.detail));
        ASSERT_EQ(mark.index, TPM2_COUNTER_LAST);
    }
}

TEST(password)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    ASSERT_OK(secret_random(STORE_KEY_SIZE, &g.auth));
    g.counter = f.counter;
    ASSERT_EQ(fixture_read(&g), -EKEYREJECTED);
    ASSERT_DETAIL(g, "another password");
    ASSERT_EQ(fixture_increment(&g), -EKEYREJECTED);
    ASSERT_TRUE(tpm_is_clean());
    ASSERT_OK(fixture_read(&f));
    ASSERT_EQ(f.value, 1);

    g.auth = secret_free(g.auth);
    g.auth = secret_new(STORE_KEY_SIZE - 1);
    ASSERT_EQ(fixture_read(&g), -EINVAL);
    ASSERT_EQ(fixture_create(&g), -EINVAL);
}

/* A TPM drops zeros at the end of a password. */
TEST(password_that_ends_in_zeros)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(secret_random(STORE_KEY_SIZE, &f.auth));
    memset(f.auth->data + STORE_KEY_SIZE - 2, 0, 2);
    ASSERT_OK(fixture_create(&f));
    ASSERT_OK(fixture_increment(&f));
    ASSERT_OK(fixture_read(&f));
    ASSERT_EQ(f.value, 2);
}

/* Opens the TPM and the NV index of the counter. */
static TSS2_RC open_index(const Tpm2Counter *counter, Tpm2Context **ret, ESYS_TR *ret_nv)
{
    if (tpm2_context_open(NULL, ret) < 0)
        return TSS2_ESYS_RC_IO_ERROR;
    return Esys_TR_FromTPMPublic((*ret)->esys, counter->index, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, ret_nv);
}

/* The attempts of an owner hierarchy without a password. */
static TSS2_RC as_owner(const Tpm2Counter *counter, bool increment)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    _cleanup_(esys_freep) TPM2B_MAX_NV_BUFFER *data = NULL;
    ESYS_TR nv;
    TSS2_RC rc = open_index(counter, &c, &nv);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    if (increment)
        return Esys_NV_Increment(c->esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE);
    return Esys_NV_Read(c->esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                        8, 0, &data);
}

TEST(owner_cannot_count)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(as_owner(&f.counter, false), TPM2_RC_NV_AUTHORIZATION);
    ASSERT_EQ(as_owner(&f.counter, true), TPM2_RC_NV_AUTHORIZATION);
    ASSERT_OK(fixture_read(&f));
    ASSERT_EQ(f.value, 1);
}

/* Removes the counter and makes one with the same public area, but another password. */
static TSS2_RC replace(const Tpm2Counter *counter, int increments)
{
    static const TPM2B_AUTH password = {.size = 4, .buffer = "mine"};
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    _cleanup_(esys_freep) TPM2B_NV_PUBLIC *public = NULL;
    ESYS_TR nv;
    TSS2_RC rc = open_index(counter, &c, &nv);

    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_NV_ReadPublic(c->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
                                NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_NV_UndefineSpace(c->esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                   ESYS_TR_NONE);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    public->nvPublic.attributes &= ~(TPMA_NV)TPMA_NV_WRITTEN;
    rc = Esys_NV_DefineSpace(c->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                             ESYS_TR_NONE, &password, public, &nv);
    for (int i = 0; rc == TSS2_RC_SUCCESS && i < increments; i++)
        rc = Esys_NV_Increment(c->esys, nv, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
    return rc;
}

TEST(replaced)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    for (int i = 0; i < 5; i++)
        ASSERT_OK(fixture_increment(&f));
    uint64_t last = f.value;

    ASSERT_EQ(replace(&f.counter, 0), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "replaced it");
    ASSERT_EQ(tpm2_counter_remove(&f.counter, &f.detail), -ENOENT);
    ASSERT_EQ(count_handles(NV_INDICES), 1);

    /* Once it counts, it has the same name as ours. */
    ASSERT_EQ(replace(&f.counter, 1), TSS2_RC_SUCCESS);
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "another password");
    ASSERT_EQ(fixture_increment(&f), -EKEYREJECTED);

    /* A counter of our own at the same index, with the same password, has another name, and starts
     * above all earlier values. */
    ASSERT_OK(tpm2_counter_remove(&f.counter, &f.detail));
    g.auth = secret_new_copy(f.auth->data, f.auth->size);
    meddling.index = f.counter.index;
    ASSERT_OK(fixture_create(&g));
    ASSERT_OK(fixture_read(&g));
    ASSERT_TRUE(g.value > last);
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "replaced it");
}

TEST(no_two_have_one_name)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    g.auth = secret_new_copy(f.auth->data, f.auth->size);
    ASSERT_OK(fixture_create(&g));
    ASSERT_TRUE(f.counter.index != g.counter.index);
    ASSERT_OK(fixture_increment(&f));
    ASSERT_OK(fixture_increment(&f));
    ASSERT_OK(fixture_read(&g));
    ASSERT_TRUE(g.value != f.value);

    /* As with a forged header. */
    g.counter.index = f.counter.index;
    ASSERT_EQ(fixture_read(&g), -EKEYREJECTED);
}

TEST(another_tpm)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_OK(swtpm_start(&other));
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "it has no storage root key");
    ASSERT_OK(fixture_create(&g));
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "another TPM or it was cleared");

    ASSERT_EQ(tpm_do(clear_tpm), TSS2_RC_SUCCESS);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_EQ(fixture_read(&g), -EKEYREJECTED);
    ASSERT_DETAIL(g, "it was cleared");

    swtpm_stop(&other);
    ASSERT_EQ(fixture_read(&g), -ENODEV);
    ASSERT_DETAIL(g, "no TPM");
    ASSERT_EQ(fixture_create(&g), -ENODEV);
}

TEST(owner_password)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};

    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(tpm_do(change_owner_auth), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_increment(&f));
    ASSERT_EQ(tpm2_counter_remove(&f.counter, &f.detail), -EKEYREJECTED);
    ASSERT_DETAIL(f, "remove the counter: the TPM's owner hierarchy has a password");
    ASSERT_EQ(fixture_create(&g), -EKEYREJECTED);
    ASSERT_DETAIL(g, "define a counter: the TPM's owner hierarchy has a password");
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_TRUE(tpm_is_clean());
}

TEST(lockout)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_EQ(tpm_do(persist_rsa), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(tpm_do(lock_out), TSS2_RC_SUCCESS);
    ASSERT_OK(fixture_increment(&f));
    ASSERT_EQ(f.value, 2);
}

TEST(index_is_taken)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    meddling.taken = 1;
    ASSERT_EQ(fixture_create(&f), -EADDRINUSE);
    ASSERT_DETAIL(f, "of the TPM is taken");
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_OK(fixture_create(&f));
    ASSERT_EQ(count_handles(NV_INDICES), 2);
    ASSERT_OK(fixture_increment(&f));
}

TEST(failures_leave_nothing)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};

    meddling.define = TPM2_RC_NV_SPACE;
    ASSERT_EQ(fixture_create(&f), -ENOSPC);
    ASSERT_DETAIL(f, "no room");
    meddling = (Meddling){.increment = TPM2_RC_NV_RATE};
    ASSERT_EQ(fixture_create(&f), -EBUSY);
    ASSERT_EQ(f.counter.index, 0);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_TRUE(tpm_is_clean());
}

/* A planned counter is removed by its name at that moment, and nothing else is. */
TEST(planned)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {}, g = {};
    Tpm2CounterPlan plan, other;

    ASSERT_OK(fixture_create(&f));
    ASSERT_OK(tpm2_counter_plan(&f.srk_name, OWNER, &plan));
    ASSERT_EQ(tpm2_counter_plan(&f.srk_name, "0011223344556677 899aabbccddeeff", &other), -EINVAL);
    ASSERT_EQ(tpm2_counter_remove(&plan.counter, NULL), -ENOENT);
    ASSERT_EQ(tpm2_counter_remove(&plan.unwritten, NULL), -ENOENT);

    ASSERT_OK(tpm2_counter_create(&plan.counter, plan.nonce, OWNER, f.auth, &f.detail));
    ASSERT_EQ(tpm2_counter_remove(&plan.unwritten, &g.detail), -ENOENT);
    ASSERT_DETAIL(g, "replaced it");
    ASSERT_OK(tpm2_counter_remove(&plan.counter, &f.detail));
    ASSERT_EQ(count_handles(NV_INDICES), 1);

    ASSERT_EQ(define_unwritten(&plan), TSS2_RC_SUCCESS);
    ASSERT_EQ(tpm2_counter_remove(&plan.counter, NULL), -ENOENT);
    /* A counter with other random bytes at the same index stays. */
    other = plan;
    other.nonce++;
    ASSERT_OK(tpm2_counter_remove(&plan.unwritten, &f.detail));
    ASSERT_EQ(define_unwritten(&other), TSS2_RC_SUCCESS);
    ASSERT_EQ(tpm2_counter_remove(&plan.unwritten, NULL), -ENOENT);
    ASSERT_EQ(tpm2_counter_remove(&plan.counter, NULL), -ENOENT);
    ASSERT_EQ(count_handles(NV_INDICES), 2);
    ASSERT_OK(fixture_read(&f));

    /* Another nonce gives another name than the planned one. */
    ASSERT_OK(tpm2_counter_plan(&f.srk_name, OWNER, &plan));
    ASSERT_EQ(tpm2_counter_create(&plan.counter, plan.nonce + 1, OWNER, f.auth, &f.detail), -EIO);
    ASSERT_DETAIL(f, "unexpected name");
    ASSERT_EQ(count_handles(NV_INDICES), 2);
}

/* An interposer that changes any byte of the response is noticed, or has no effect. */
TEST(value_cannot_be_forged)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    int r;

    ASSERT_OK(fixture_create(&f));
    interposer.command = TPM2_CC_NV_Read;
    interposer.offset = SIZE_MAX;
    ASSERT_OK(fixture_read(&f));
    ASSERT_TRUE(interposer.size > 10 + 4 + 2 + 8 + 32);
    for (size_t i = 0; i < interposer.size; i++) {
        interposer.offset = i;
        r = fixture_read(&f);
        flush_sessions();
        ASSERT_EQ(f.value, r == 0 ? 1 : 0);
    }
    interposer.offset = 10 + 4 + 2 + 7;
    ASSERT_EQ(fixture_read(&f), -EKEYREJECTED);
    ASSERT_DETAIL(f, "not authentic");

    /* The public area is not authentic, but its name is pinned. */
    interposer = (Interposer){.command = TPM2_CC_NV_ReadPublic, .offset = 40};
    ASSERT_TRUE(fixture_read(&f) < 0);
    interposer = (Interposer){.command = TPM2_CC_NV_Increment, .offset = 30};
    ASSERT_EQ(fixture_increment(&f), -EKEYREJECTED);
}

TEST(password_is_never_on_the_wire)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    char wire[2 * SWTPM_DIRECTORY_MAX];

    snprintf(wire, sizeof(wire), "%s/wire", tpm.dir);
    setenv("TCTI_PCAP_FILE", wire, true);
    swtpm_set_tcti(&tpm, "pcap:");
    if (fixture_create(&f) == -ENODEV)
        TEST_SKIP("the TSS has no pcap TCTI");
    ASSERT_OK(fixture_increment(&f));

    /* The recording must contain the public parts, or it would prove nothing. */
    ASSERT_TRUE(file_contains(wire, f.counter.name.data, f.counter.name.size));
    for (size_t i = 0; i + 8 <= f.auth->size; i += 8)
        ASSERT_TRUE(!file_contains(wire, f.auth->data + i, 8));
}

TEST(time_to_count)
{
    SWTPM(tpm);
    _cleanup_(fixture_done) Fixture f = {};
    uint64_t start = now_monotonic(), made, incremented;

    ASSERT_OK(fixture_create(&f));
    made = now_monotonic();
    for (int i = 0; i < 20; i++)
        ASSERT_OK(fixture_increment(&f));
    incremented = now_monotonic();
    for (int i = 0; i < 20; i++)
        ASSERT_OK(fixture_read(&f));
    printf("# create, with a storage root key: %.1f ms, increment: %.1f ms, read: %.1f ms\n",
           (double)(made - start) / 1000, (double)(incremented - made) / 20 / 1000,
           (double)(now_monotonic() - incremented) / 20 / 1000);
}
