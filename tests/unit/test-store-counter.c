/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/keyslots.h"
#include "credstore/seal/seal-type.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/store-private.h"
#include "credstore/store.h"
#include "stepper.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "swtpm.h"
#include "test.h"
#include "tree.h"

/* The rollback counter of a store, with swtpm. */

/* A child that makes a counter is killed at a system call from here on. */
static bool kill_from_here;

TSS2_RC Esys_NV_DefineSpace(ESYS_CONTEXT *esys, ESYS_TR owner, ESYS_TR session1, ESYS_TR session2,
                            ESYS_TR session3, const TPM2B_AUTH *auth, const TPM2B_NV_PUBLIC *public,
                            ESYS_TR *ret)
{
    __typeof__(Esys_NV_DefineSpace) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_NV_DefineSpace");
    if (kill_from_here)
        stepper_begin();
    return real(esys, owner, session1, session2, session3, auth, public, ret);
}

static const SlotOptions with_counter = {.rollback_counter = true};

static int add_slot(Store *s, const char *type, const SlotOptions *options, Secret **ret_key,
                    char ret_id[static SLOT_ID_SIZE], char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *slot = NULL;
    int r = direct_seal_slot(s, type, NULL, options, &slot, ret_key, reterr_detail);

    return r < 0 ? r : store_put_slot(s, slot, ret_id);
}

TEST(an_old_copy_is_noticed)
{
    _cleanup_(secret_freep) Secret *key = NULL, *none = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    char slot[SLOT_ID_SIZE], id[STORE_ID_SIZE], copy[160];
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(add_slot(s, "recovery", &with_counter, &key, slot, NULL), -EINVAL);
    ASSERT_OK(add_slot(s, "recovery", &(SlotOptions){.pcrs = 0}, &key, slot, NULL));
    ASSERT_OK(add_slot(s, "tpm2", &with_counter, &none, slot, NULL));
    ASSERT_TRUE(store_has_counter(s));
    ASSERT_TRUE(store_counter_behind(s));
    ASSERT_OK(direct_count(s));
    ASSERT_TRUE(!store_counter_behind(s));
    ASSERT_EQ(add_slot(s, "tpm2", &with_counter, &none, slot, &detail), -EEXIST);
    s = store_close(s);
    snprintf(copy, sizeof(copy), "%s/copy", f.top);
    ASSERT_OK(tree_copy(f.dir, copy));

    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "secret", id));
    ASSERT_TRUE(store_counter_behind(s));
    /* A cut before the counter has caught up does no harm. */
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(store_counter_behind(s));
    ASSERT_OK(direct_count(s));
    ASSERT_OK(direct_count(s));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(!store_counter_behind(s));
    s = store_close(s);

    free(TAKE_PTR(detail));
    ASSERT_EQ(direct_open(copy, &s, &detail), -ESTALE);
    ASSERT_TRUE(detail && strstr(detail, "old copy"));
    /* The recovery key opens an old copy, and the counter follows it from there. */
    ASSERT_OK(fixture_open_by_recovery(copy, key, &s));
    ASSERT_OK(fixture_add(s, "b", "other", id));
    ASSERT_TRUE(!store_counter_behind(s));
    ASSERT_OK(add_slot(s, "tpm2", &with_counter, &none, slot, NULL));
    ASSERT_OK(direct_count(s));
    s = store_close(s);
    ASSERT_OK(direct_open(copy, &s, NULL));
    ASSERT_TRUE(fixture_has(s, id, "b", "other"));
}

/* Makes a store with a counter that was counted up. */
static int counted_store(Fixture *f, Store **ret, char slot[static SLOT_ID_SIZE])
{
    _cleanup_(secret_freep) Secret *none = NULL;
    int r = fixture_new(f);

    if (r == 0)
        r = direct_open(f->dir, ret, NULL);
    if (r == 0)
        r = add_slot(*ret, "tpm2", &with_counter, &none, slot, NULL);
    return r < 0 ? r : direct_count(*ret);
}

/* Each commit has its own value, even if the TPM has not counted it yet, so an earlier copy with a
 * removed key is refused. */
TEST(a_copy_from_between_two_counts)
{
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    char slot[SLOT_ID_SIZE], id[STORE_ID_SIZE], copies[5][160];
    uint64_t value;
    SWTPM(tpm);

    ASSERT_OK(counted_store(&f, &s, slot));
    value = s->header.counter.value;
    for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
        if (i % 2 == 0)
            ASSERT_OK(fixture_add(s, "a", "secret", id));
        else
            ASSERT_OK(fixture_delete(s, id));
        snprintf(copies[i], sizeof(copies[i]), "%s/copy-%zu", f.top, i);
        ASSERT_OK(tree_copy(f.dir, copies[i]));
        ASSERT_EQ(s->header.counter.value, value + i + 1);
    }
    ASSERT_OK(direct_count(s));
    ASSERT_TRUE(!store_counter_behind(s));
    s = store_close(s);
    for (size_t i = 0; i + 1 < ARRAY_SIZE(copies); i++)
        ASSERT_EQ(direct_open(copies[i], &s, NULL), -ESTALE);
    ASSERT_OK(direct_open(copies[ARRAY_SIZE(copies) - 1], &s, NULL));
    ASSERT_TRUE(fixture_has(s, id, "a", "secret"));
}

/* Many cuts, each before the TPM could count. */
TEST(a_store_far_ahead_of_the_tpm)
{
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    char slot[SLOT_ID_SIZE], id[STORE_ID_SIZE];
    uint64_t value;
    SWTPM(tpm);

    ASSERT_OK(counted_store(&f, &s, slot));
    value = s->header.counter.value;
    for (uint64_t i = 1; i <= 4; i++) {
        ASSERT_OK(fixture_add(s, "a", "secret", id));
        s = store_close(s);
        ASSERT_OK(direct_open(f.dir, &s, NULL));
        ASSERT_TRUE(store_counter_behind(s));
        ASSERT_EQ(s->header.counter.value, value + i);
    }
    /* One job counts up for all of them. */
    ASSERT_OK(direct_count(s));
    ASSERT_TRUE(!store_counter_behind(s));
    ASSERT_EQ(s->counter_seen, value + 4);
}

/* A counter that nothing needs stays listed over restarts until the TPM has removed it. */
TEST(orphans_are_listed_in_the_header)
{
    _cleanup_(secret_freep) Secret *none = NULL, *sealed = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    char slot[SLOT_ID_SIZE];
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    /* Two were made for a client that hung up. The list has both names of each. */
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &with_counter, &sealed, &none, NULL));
        sealed = secret_free(sealed);
        s = store_close(s);
        ASSERT_OK(direct_open(f.dir, &s, NULL));
    }
    ASSERT_EQ(s->header.n_orphans, 4);
    /* The third one goes with its slot. */
    ASSERT_OK(add_slot(s, "tpm2", &with_counter, &none, slot, NULL));
    ASSERT_OK(store_remove_slot(s, slot, true));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(s->header.n_orphans, 5);
    ASSERT_EQ(count_handles(NV_INDICES), 3);

    ASSERT_OK(direct_remove_orphan(s));
    ASSERT_OK(store_forget_orphan(s, 0));
    /* The TPM has removed one, and a cut came before the header was written. */
    ASSERT_OK(direct_remove_orphan(s));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(s->header.n_orphans, 3);
    for (int i = 0; i < 2; i++) {
        ASSERT_EQ(direct_remove_orphan(s), -ENOENT);
        ASSERT_OK(store_forget_orphan(s, -ENOENT));
        ASSERT_TRUE(store_has_orphan(s));
    }
    swtpm_stop(&tpm);

    /* Without its TPM a counter stays listed, and is tried once in each run. */
    ASSERT_TRUE(direct_remove_orphan(s) < 0);
    ASSERT_OK(store_forget_orphan(s, -ENODEV));
    ASSERT_TRUE(!store_has_orphan(s));
    s = store_close(s);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(store_has_orphan(s));
    ASSERT_OK(direct_remove_orphan(s));
    ASSERT_OK(store_forget_orphan(s, 0));
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_TRUE(!store_has_orphan(s) && s->header.n_orphans == 0);
}

TEST(without_the_tpm)
{
    _cleanup_(secret_freep) Secret *none = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    char slot[SLOT_ID_SIZE];
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(add_slot(s, "tpm2", &with_counter, &none, slot, NULL));
    s = store_close(s);
    /* The other slot could open the store, but then no counter would reveal an old copy. */
    swtpm_stop(&tpm);
    ASSERT_TRUE(direct_open(f.dir, &s, &detail) < 0);
    ASSERT_TRUE(detail && strstr(detail, "rollback counter"));
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_OK(direct_open(f.dir, &s, NULL));

    /* The counter is removed with the last tpm2 slot. */
    ASSERT_EQ(store_remove_slot(s, slot, false), -EPERM);
    ASSERT_OK(store_remove_slot(s, slot, true));
    ASSERT_TRUE(!store_has_counter(s));
    ASSERT_TRUE(store_has_orphan(s));
    ASSERT_EQ(count_handles(NV_INDICES), 1);
    ASSERT_OK(direct_remove_orphan(s));
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_OK(store_forget_orphan(s, 0));
    ASSERT_TRUE(!store_has_orphan(s));
    s = store_close(s);
    swtpm_stop(&tpm);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
}

/* A TPM that replaces the known one gets neither the KEK nor the counter. */
TEST(another_tpm_is_refused)
{
    _cleanup_(secret_freep) Secret *none = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(freep) char *detail = NULL;
    char slot[SLOT_ID_SIZE];
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(add_slot(s, "tpm2", &(SlotOptions){.pcrs = 0}, &none, slot, NULL));
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_OK(swtpm_start(&other));
    ASSERT_EQ(add_slot(s, "tpm2", &(SlotOptions){.pcrs = 0}, &none, slot, &detail), -EKEYREJECTED);
    ASSERT_TRUE(detail && strstr(detail, "another TPM") && strstr(detail, "--new-tpm"));
    /* The TPM got nothing, not even a storage root key, and one that it already has makes no
     * difference. */
    ASSERT_EQ(count_handles(PERSISTENTS), 0);
    ASSERT_EQ(tpm_do(persist_rsa), TSS2_RC_SUCCESS);
    ASSERT_EQ(add_slot(s, "tpm2", &with_counter, &none, slot, NULL), -EKEYREJECTED);
    ASSERT_EQ(count_handles(NV_INDICES), 0);
    ASSERT_TRUE(!store_has_counter(s));
}

TEST(another_tpm_is_taken_when_asked_for)
{
    static const SlotOptions plain = {.pcrs = 0},
                             take = {.new_tpm = true, .rollback_counter = true};
    _cleanup_(secret_freep) Secret *none = NULL, *sealed = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    char first[SLOT_ID_SIZE], slot[SLOT_ID_SIZE];
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &plain, &sealed, &none, NULL));
    ASSERT_TRUE(!store_is_new_tpm(s, sealed));
    ASSERT_OK(store_put_slot(s, sealed, first));
    sealed = secret_free(sealed);
    swtpm_stop(&tpm);

    _cleanup_(swtpm_done) Swtpm other = {};
    ASSERT_OK(swtpm_start(&other));
    ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &take, &sealed, &none, NULL));
    ASSERT_TRUE(store_is_new_tpm(s, sealed));
    ASSERT_OK(store_put_slot(s, sealed, slot));
    /* From now on the store knows both TPMs. */
    ASSERT_TRUE(!store_is_new_tpm(s, sealed));
    ASSERT_OK(add_slot(s, "tpm2", &plain, &none, slot, NULL));
    swtpm_stop(&other);
    ASSERT_OK(swtpm_start(&tpm));
    ASSERT_OK(add_slot(s, "tpm2", &plain, &none, slot, NULL));
}

/* Slots that are not added leave no counter, however many there are. */
TEST(dropped_slots)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    Secret *slots[3] = {NULL}, *none = NULL;
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    for (size_t i = 0; i < 3; i++)
        ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &with_counter, &slots[i], &none, NULL));
    ASSERT_EQ(count_handles(NV_INDICES), 3);
    for (size_t i = 0; i < 3; i++)
        secret_free(slots[i]);
    for (size_t i = 0; i < 3; i++) {
        ASSERT_TRUE(store_has_orphan(s));
        ASSERT_OK(direct_remove_orphan(s));
        ASSERT_OK(store_forget_orphan(s, 0));
    }
    ASSERT_TRUE(!store_has_orphan(s));
    ASSERT_EQ(count_handles(NV_INDICES), 0);
}

/* The removal of the first entry has begun when a commit drops that entry from a full list. */
static void check_dropped(int error)
{
    _cleanup_(secret_freep) Secret *none = NULL, *request = NULL;
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    char slot[SLOT_ID_SIZE];
    Header *header;
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(add_slot(s, "tpm2", &with_counter, &none, slot, NULL));
    header = &s->header;
    while (header->n_orphans < STORE_ORPHANS_MAX) {
        header->orphans[header->n_orphans] = header->counter.tpm;
        header->orphans[header->n_orphans].index = 0x01a00000 + (uint32_t)header->n_orphans;
        header->n_orphans++;
    }
    ASSERT_OK(store_request_orphan(s, &request));
    ASSERT_OK(store_remove_slot(s, slot, true));
    ASSERT_OK(store_forget_orphan(s, error));
    ASSERT_EQ(header->n_orphans, STORE_ORPHANS_MAX);
    ASSERT_EQ(header->orphans[0].index, 0x01a00001);
    ASSERT_EQ(header->orphans_tried, 0);
}

TEST(an_orphan_is_dropped_during_its_removal)
{
    check_dropped(0);
    check_dropped(-ENOENT);
    check_dropped(-EIO);
}

/* A full list drops its oldest entries, and each of the others is tried once. */
TEST(orphans_past_the_limit)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(fixture_done) Fixture f = {.dir = ""};
    Secret *slot = NULL, *none = NULL;
    size_t tried = 0;
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    for (size_t i = 0; i < STORE_ORPHANS_MAX / 2; i++) {
        ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &with_counter, &slot, &none, NULL));
        slot = secret_free(slot);
    }
    ASSERT_EQ(s->header.n_orphans, STORE_ORPHANS_MAX);
    for (; store_has_orphan(s); tried++) {
        _cleanup_(secret_freep) Secret *request = NULL;

        ASSERT_OK(store_request_orphan(s, &request));
        ASSERT_OK(store_forget_orphan(s, -EIO));
    }
    ASSERT_EQ(tried, STORE_ORPHANS_MAX);
    ASSERT_OK(direct_seal_slot(s, "tpm2", NULL, &with_counter, &slot, &none, NULL));
    slot = secret_free(slot);
    ASSERT_EQ(s->header.n_orphans, STORE_ORPHANS_MAX);
    ASSERT_TRUE(store_has_orphan(s));
    ASSERT_OK(direct_remove_orphan(s));
    ASSERT_OK(store_forget_orphan(s, 0));
    ASSERT_TRUE(!store_has_orphan(s));
    ASSERT_EQ(s->header.n_orphans, STORE_ORPHANS_MAX - 2);
}

static int make_slot(void *userdata)
{
    _cleanup_(secret_freep) Secret *none = NULL;
    char slot[SLOT_ID_SIZE];

    kill_from_here = true;
    return add_slot(userdata, "tpm2", &with_counter, &none, slot, NULL);
}

/* Removes the counter of the store, if there is one, and all orphans. */
static int clean_up(Store *s)
{
    int r = 0;

    if (store_has_counter(s)) {
        json_object *slots = store_slots(s);
        json_object *last = json_object_array_get_idx(slots, json_object_array_length(slots) - 1);
        const char *id = NULL;

        (void)json_get_string(last, "id", &id);
        r = store_remove_slot(s, id, true);
    }
    while (r == 0 && store_has_orphan(s)) {
        r = direct_remove_orphan(s);
        if (r == 0 || r == -ENOENT)
            r = store_forget_orphan(s, r);
    }
    return r;
}

/* A process that makes a counter is killed at any moment. After that, the counter belongs to the
 * store or is removed. */
TEST(killed_while_it_is_made)
{
    _cleanup_(store_closep) Store *s = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    int r = 1, leaked = 0, n = 1;
    SWTPM(tpm);

    ASSERT_OK(fixture_new(&f));
    for (; r == 1; n += 3) {
        ASSERT_OK(direct_open(f.dir, &s, NULL));
        r = stepper_kill(make_slot, s, n);
        if (r == -EPERM)
            TEST_SKIP("needs ptrace");
        ASSERT_TRUE(r >= 0);
        s = store_close(s);
        flush_sessions();
        ASSERT_OK(direct_open(f.dir, &s, NULL));
        leaked += r == 1 && !store_has_counter(s) && count_handles(NV_INDICES) == 1;
        ASSERT_OK(clean_up(s));
        ASSERT_EQ(count_handles(NV_INDICES), 0);
        ASSERT_EQ(s->header.n_orphans, 0);
        s = store_close(s);
    }
    printf("# killed %d times, %d of them with a counter in the TPM alone\n", n / 3, leaked);
    ASSERT_TRUE(leaked > 0);
}
