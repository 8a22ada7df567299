/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credstore/ways.h"
#include "keyd-fixture.h"

/* Which store is opened, and what becomes of the keyring where it is another one. */

#define OTHER_ID "00000000000000000000000000000000"

static bool set(Config *c, const char *option, const char *value)
{
    return config_set(c, "Store", option, value) == 0;
}

/* A store with a key that is published, and then nothing but that. */
static bool make_store(Fixture *f, char ret_id[static STORE_IDENTITY_SIZE])
{
    if (!fixture_add(f, SUBSYSTEM, KEY_ROLE_HOST, 1))
        return false;
    strcpy(ret_id, store_identity(manager_store(f->m)));
    return true;
}

TEST(id)
{
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
    ASSERT_TRUE(!manager_store_is_refused(f.m) && !manager_store_is_foreign(f.m));

    ASSERT_TRUE(set(&f.config, "Id", OTHER_ID));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(!manager_store(f.m) && manager_store_is_foreign(f.m));
    ASSERT_TRUE(strstr(manager_store_detail(f.m), id) &&
                strstr(manager_store_detail(f.m), OTHER_ID));
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(!fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_HOST, 2));
    ASSERT_EQ(ring_size(), 1);

    /* Nor does it come in by the keyring being made anew. */
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_EQ(ring_size(), 0);
}

TEST(id_of_a_store_that_is_gone)
{
    SyncResult s;
    char id[STORE_IDENTITY_SIZE], path[128];
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    f.m = manager_free(f.m);
    (void)nftw(f.dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    ASSERT_OK(mkdir(f.dir, 0700));
    ASSERT_TRUE(set(&f.config, "Id", id));
    ASSERT_OK(manager_new(&f.config, f.dir, &f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_TRUE(manager_store_is_foreign(f.m));
    ASSERT_EQ(ring_size(), 1);
    /* None is made in its place. */
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(strstr(manager_store_detail(f.m), id));
    snprintf(path, sizeof(path), "%s/header.json", f.dir);
    ASSERT_TRUE(access(path, F_OK) < 0);

    ASSERT_TRUE(set(&f.config, "Id", ""));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
}

TEST(open_by)
{
    static const char *const good[] = {"systemd-creds", "systemd-creds:host tpm2", ""};
    static const char *const bad[] = {"tpm2 recovery",
                                      "systemd-creds:host+tpm2 systemd-creds:given"};
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", bad[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(manager_store_is_refused(f.m) && !manager_store_is_foreign(f.m));
        ASSERT_TRUE(strstr(manager_store_detail(f.m), "sealed by the key host: OpenBy="));
        ASSERT_EQ(ring_size(), 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ASSERT_TRUE(set(&f.config, "OpenBy", good[i]));
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_OK(fixture_sync(&f, &s));
        ASSERT_EQ(s.kept, 1);
    }
}

/* No slot is made that would not open the store. */
TEST(open_by_holds_for_new_slots)
{
    static const char *const types[] = {"systemd-creds", "recovery"};
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(set(&f.config, "OpenBy", "tpm2"));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(set(&f.config, "OpenBy", ""));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const SlotRequest q = {.type = types[i]};
        _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
        _cleanup_(freep) char *detail = NULL;
        Config narrow = f.config;

        ASSERT_TRUE(
            set(&narrow, "OpenBy", i == 0 ? "recovery systemd-creds:tpm2" : "systemd-creds"));
        ASSERT_OK(fixture_sync(&f, &s));
        /* The open store would be closed by a reload. */
        *(Config *)(uintptr_t)manager_config(f.m) = narrow;
        ASSERT_EQ(manager_seal_slot(f.m, &q, &sealed, &detail), -EXDEV);
        ASSERT_TRUE(detail && strstr(detail, "OpenBy="));
        *(Config *)(uintptr_t)manager_config(f.m) = f.config;
    }
    ASSERT_EQ(json_object_array_length(store_slots(manager_store(f.m))), 1);
}

/* What makes no sense opens nothing. */
TEST(bad_values)
{
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"OpenBy", "systemd-cred", "OpenBy="},
        {"OpenBy", "tpm2, systemd-creds", "OpenBy="},
        {"Id", "12345", "is no id"},
        {"Id", "0123456789ABCDEF0123456789ABCDEF", "is no id"},
    };
    char id[STORE_IDENTITY_SIZE];
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        f.config = config_default;
        f.config.stand_in = true;
        ASSERT_EQ(config_set(&f.config, "Store", bad[i].option, bad[i].value), -EINVAL);
        ASSERT_TRUE(fixture_restart(&f));
        ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
        ASSERT_TRUE(strstr(manager_store_detail(f.m), bad[i].words));
        ASSERT_EQ(ring_size(), 1);
    }
}

TEST(reload)
{
    char id[STORE_IDENTITY_SIZE];
    Config other;
    SyncResult s;
    FIXTURE;

    ASSERT_TRUE(make_store(&f, id));
    other = f.config;
    ASSERT_TRUE(set(&other, "Id", OTHER_ID));
    manager_set_config(f.m, &other);
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EXDEV);
    ASSERT_EQ(ring_size(), 1);
    manager_set_config(f.m, &f.config);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 1);
}

TEST_MAIN(TEST_ENTRY(id), TEST_ENTRY(id_of_a_store_that_is_gone), TEST_ENTRY(open_by),
          TEST_ENTRY(open_by_holds_for_new_slots), TEST_ENTRY(bad_values), TEST_ENTRY(reload))
