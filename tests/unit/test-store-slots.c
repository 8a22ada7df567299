/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/keyslots.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/seal-type.h"
#include "credstore/store.h"
#include "store-direct.h"
#include "store-fixture.h"
#include "test.h"

/* Makes json_add_bool() fail. */
static bool no_booleans;

json_object *json_object_new_boolean(json_bool b)
{
    __typeof__(json_object_new_boolean) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "json_object_new_boolean");
    return no_booleans ? NULL : real(b);
}

static const SlotOptions no_options = {.pcrs_given = false};

static size_t count_slots(const Store *s)
{
    return json_object_array_length(store_slots(s));
}

/* Adds a recovery slot, or replaces the slot id by one. */
static int add_recovery(Store *s, const char *id, Secret **ret_key,
                        char ret_id[static SLOT_ID_SIZE])
{
    _cleanup_(secret_freep) Secret *slot = NULL;
    int r = direct_seal_slot(s, "recovery", id, &no_options, &slot, ret_key, NULL);

    return r < 0 ? r : store_put_slot(s, slot, ret_id);
}

TEST(a_recovery_key_opens_the_store)
{
    _cleanup_(secret_freep) Secret *key = NULL, *wrong = NULL, *found = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    char id[STORE_ID_SIZE], slot[SLOT_ID_SIZE];
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(fixture_add(s, "a", "secret", id));
    ASSERT_OK(secret_random(STORE_KEY_SIZE, &wrong));
    ASSERT_EQ(store_find_key_by_recovery(s, wrong, &found), -ENOENT);
    ASSERT_OK(add_recovery(s, NULL, &key, slot));
    ASSERT_EQ(count_slots(s), 2);
    ASSERT_STR(store_slot_type(s), "systemd-creds");
    s = store_close(s);

    /* Takes the key of the other slot away. */
    unsetenv("CREDENTIALS_DIRECTORY");
    ASSERT_EQ(direct_open(f.dir, &s, NULL), -EKEYREJECTED);
    ASSERT_OK(fixture_open_by_recovery(f.dir, key, &s));
    ASSERT_TRUE(fixture_has(s, id, "a", "secret"));
    ASSERT_STR(store_slot_type(s), "recovery");
    s = store_close(s);

    ASSERT_EQ(fixture_open_by_recovery(f.dir, wrong, &s), -EKEYREJECTED);
    wrong = secret_free(wrong);
    wrong = secret_new_copy(key->data, STORE_KEY_SIZE - 1);
    ASSERT_TRUE(fixture_open_by_recovery(f.dir, wrong, &s) < 0);
}

TEST(a_slot_takes_the_place_of_another)
{
    _cleanup_(secret_freep) Secret *first = NULL, *second = NULL;
    char slot[SLOT_ID_SIZE], again[SLOT_ID_SIZE];
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(add_recovery(s, NULL, &first, slot));
    ASSERT_OK(add_recovery(s, slot, &second, again));
    ASSERT_STR(again, slot);
    ASSERT_EQ(count_slots(s), 2);
    s = store_close(s);
    ASSERT_EQ(fixture_open_by_recovery(f.dir, first, &s), -EKEYREJECTED);
    ASSERT_OK(fixture_open_by_recovery(f.dir, second, &s));
}

TEST(the_last_slot_stays)
{
    char own[SLOT_ID_SIZE] = "01020304", slot[SLOT_ID_SIZE];
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(store_remove_slot(s, own, true), -EPERM);
    ASSERT_EQ(store_remove_slot(s, "ffffffff", false), -ENOENT);
    ASSERT_OK(add_recovery(s, NULL, &key, slot));
    /* The last slot that opens the store without a person stays, unless forced. */
    ASSERT_EQ(store_remove_slot(s, own, false), -EPERM);
    ASSERT_OK(store_remove_slot(s, slot, false));
    key = secret_free(key);
    ASSERT_OK(add_recovery(s, NULL, &key, slot));
    ASSERT_OK(store_remove_slot(s, own, true));
    ASSERT_STR(store_slot_type(s), "removed");
    ASSERT_EQ(store_remove_slot(s, slot, true), -EPERM);
    s = store_close(s);

    ASSERT_EQ(direct_open(f.dir, &s, NULL), -EKEYREJECTED);
    ASSERT_OK(fixture_open_by_recovery(f.dir, key, &s));
}

/* The presence of a slot does not prove that it works. */
TEST(the_one_that_works_stays)
{
    char own[SLOT_ID_SIZE] = "01020304", slot[SLOT_ID_SIZE], again[SLOT_ID_SIZE];
    _cleanup_(secret_freep) Secret *key = NULL, *other = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_OK(add_recovery(s, NULL, &key, slot));
    s = store_close(s);
    ASSERT_OK(fixture_open_by_recovery(f.dir, key, &s));
    ASSERT_EQ(store_remove_slot(s, slot, false), -EPERM);
    ASSERT_OK(add_recovery(s, NULL, &other, again));
    ASSERT_OK(store_remove_slot(s, slot, false));
    ASSERT_EQ(store_remove_slot(s, again, false), -EPERM);
    /* A slot that did not open the store may be removed. */
    ASSERT_OK(store_remove_slot(s, own, false));
}

/* After an error the caller may repeat the call, so the slot must not be there. */
TEST(an_error_leaves_no_slot)
{
    char own[SLOT_ID_SIZE] = "01020304", slot[SLOT_ID_SIZE], path[160];
    _cleanup_(secret_freep) Secret *key = NULL, *other = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    no_booleans = true;
    ASSERT_EQ(add_recovery(s, NULL, &key, slot), -ENOMEM);
    no_booleans = false;
    ASSERT_EQ(count_slots(s), 1);
    key = secret_free(key);
    ASSERT_OK(add_recovery(s, NULL, &key, slot));
    s = store_close(s);

    /* A slot that was not replaced is as unproven as before. */
    ASSERT_OK(fixture_open_by_recovery(f.dir, key, &s));
    ASSERT_EQ(count_slots(s), 2);
    fixture_path(&f, "store.new", path);
    ASSERT_OK(mkdir(path, 0700));
    ASSERT_TRUE(add_recovery(s, own, &other, own) < 0);
    ASSERT_OK(rmdir(path));
    ASSERT_EQ(store_remove_slot(s, slot, false), -EPERM);
}

TEST(there_is_an_end_to_slots)
{
    char slot[SLOT_ID_SIZE];
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;
    int r = 0;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    for (size_t n = 1; n <= STORE_SLOTS_MAX && r == 0; n++) {
        _cleanup_(secret_freep) Secret *key = NULL;

        r = add_recovery(s, NULL, &key, slot);
        ASSERT_EQ(r, n < STORE_SLOTS_MAX ? 0 : -E2BIG);
    }
    ASSERT_EQ(count_slots(s), STORE_SLOTS_MAX);
}

TEST(a_slot_of_no_known_type)
{
    _cleanup_(secret_freep) Secret *slot = NULL, *key = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(freep) char *detail = NULL;
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(direct_seal_slot(s, "tpm1", NULL, &no_options, &slot, &key, &detail), -EINVAL);
    ASSERT_TRUE(detail && strstr(detail, "tpm1"));
}

TEST(an_attached_store_tells_its_slots)
{
    _cleanup_(secret_freep) Secret *found = NULL, *bad = NULL;
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(store_closep) Store *s = NULL;

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(store_attach(f.dir, &s, NULL));
    ASSERT_STR(store_identity(s), "");
    ASSERT_EQ(count_slots(s), 1);
    ASSERT_OK(direct_find_key(s, 0, &found, NULL));

    /* By another key the header is not authentic, and the store stays as it is. */
    bad = secret_new_copy(found->data, found->size);
    bad->data[found->size - 1] ^= 1;
    ASSERT_EQ(store_unlock(s, bad, NULL), -EBADMSG);
    ASSERT_STR(store_identity(s), "");
    ASSERT_OK(store_unlock(s, found, NULL));
    ASSERT_TRUE(store_identity(s)[0]);
    ASSERT_EQ(store_unlock(s, found, NULL), -EINVAL);
}

/* The id in the header can be copied, but the proof from the key cannot. */
TEST(identity)
{
    _cleanup_(fixture_done) Fixture f = {}, g = {};
    _cleanup_(store_closep) Store *s = NULL, *t = NULL;
    char first[STORE_IDENTITY_SIZE];

    ASSERT_OK(fixture_new(&f));
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_EQ(strspn(store_identity(s), "0123456789abcdef"), STORE_IDENTITY_SIZE - 1);
    strcpy(first, store_identity(s));
    s = store_close(s);
    ASSERT_OK(direct_open(f.dir, &s, NULL));
    ASSERT_STR(store_identity(s), first);
    /* With the same id in its header. */
    ASSERT_OK(fixture_new(&g));
    ASSERT_OK(direct_open(g.dir, &t, NULL));
    ASSERT_TRUE(strcmp(store_identity(t), first) != 0);
}
