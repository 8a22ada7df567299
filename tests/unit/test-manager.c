/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/resource.h>

#include "keyd-fixture.h"
#include "psk/limits.h"

/* Keys that a manager adds, finds again and removes. test-change.c has the rest. */

/* An empty directory: no store is made before there is a key for it. */
TEST(empty)
{
    ReconcileResult s;
    FIXTURE;

    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_TRUE(!vault_detail(manager_vault(f.m)));
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.added + s.kept + s.removed + s.failed, 0);
    ASSERT_EQ(fixture_remove(&f, "0123456789abcdef"), -ENOENT);
    ASSERT_EQ(manager_deadline(f.m), 0);
    ASSERT_TRUE(!manager_store(f.m));
}

TEST(add)
{
    Key *host, *target;
    FIXTURE;

    host = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(host);
    ASSERT_STR(store_slot_type(manager_store(f.m)), "systemd-creds");
    ASSERT_TRUE(fixture_keeps(&f, host));
    ASSERT_EQ(host->state, KEY_ACTIVE);
    ASSERT_EQ(host->generation, 1);
    ASSERT_TRUE(!host->identities[0]);
    ASSERT_TRUE(ring_has_key(host, 1));

    target = fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_TARGET, 2);
    ASSERT_TRUE(target);
    ASSERT_TRUE(ring_has_key(target, 0));
    ASSERT_TRUE(ring_has_key(target, 1));
    ASSERT_EQ(ring_size(), 3);
    ASSERT_EQ(fixture_keys(&f), 2);
}

/* The next instance loads all keys, and leaves those in the ring alone that are right. */
TEST(restart)
{
    int32_t serials[KEY_VERSIONS];
    char id[STORE_ID_SIZE];
    ReconcileResult s;
    Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_BOTH, 1);
    ASSERT_TRUE(k);
    memcpy(serials, k->serials, sizeof(serials));
    strcpy(id, k->id);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_EQ(fixture_keys(&f), 0);
    ASSERT_OK(fixture_sync(&f, &s));
    ASSERT_EQ(s.kept, 2);
    ASSERT_EQ(s.added + s.removed + s.failed, 0);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k);
    ASSERT_EQ(k->role, KEY_ROLE_BOTH);
    ASSERT_TRUE(memcmp(k->serials, serials, sizeof(serials)) == 0);
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
}

static int add_names(Fixture *f, const char *hostnqn, const char *subsysnqn, char **ret_detail)
{
    const KeyRequest q = {.hostnqn = hostnqn,
                          .subsysnqn = subsysnqn,
                          .role = KEY_ROLE_TARGET,
                          .hash = PSK_HASH_SHA256};
    Key *k = NULL;

    return fixture_try(f, &q, &k, ret_detail);
}

/* The message names the character and its place, and a bad key causes no store to be made. */
TEST(bad_names)
{
    static const struct {
        const char *hostnqn, *subsysnqn, *detail;
    } cases[] = {
        {"nqn.a b", SUBSYSTEM, "host NQN has a blank (0x20) at character 6, which is not allowed"},
        {"iqn.a", SUBSYSTEM, "host NQN does not begin with \"nqn.\" (character 1)"},
        {"", SUBSYSTEM, "host NQN \"\" is too short: \"nqn.\" and a name after it"},
        {HOST, "nqn.a;b", "subsystem NQN has ';' at character 6, which is not allowed"},
        {HOST, "nqn.\x80", "subsystem NQN has a byte (0x80) at character 5, which is not allowed"},
    };
    char path[128];
    FIXTURE;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(freep) char *detail = NULL;

        ASSERT_EQ(add_names(&f, cases[i].hostnqn, cases[i].subsysnqn, &detail), -EINVAL);
        ASSERT_STR(detail, cases[i].detail);
    }
    ASSERT_TRUE(!manager_store(f.m));
    snprintf(path, sizeof(path), "%s/store", f.dir);
    ASSERT_TRUE(access(path, F_OK) < 0);
}

/* Two long names do not fit into an identity of version 0. Then a target accepts version 1 only,
 * unless the caller asked for both. */
TEST(long_names)
{
    char nqn[NQN_LENGTH_MAX + 1], longer[NQN_LENGTH_MAX + 1];
    KeyRequest q = {.hostnqn = nqn,
                    .subsysnqn = longer,
                    .role = KEY_ROLE_TARGET,
                    .hash = PSK_HASH_SHA256,
                    .versions = KEY_VERSION_BIT(0) | KEY_VERSION_BIT(1)};
    _cleanup_(freep) char *detail = NULL;
    Key *k = NULL;
    FIXTURE;

    memset(nqn, 'x', sizeof(nqn) - 1);
    memcpy(nqn, "nqn.", 4);
    nqn[sizeof(nqn) - 1] = '\0';
    strcpy(longer, nqn);
    nqn[sizeof(nqn) - 2] = '\0';
    ASSERT_EQ(fixture_try(&f, &q, &k, &detail), -EINVAL);
    ASSERT_TRUE(detail && strstr(detail, "use version 1"));
    ASSERT_TRUE(!manager_store(f.m));
    q.versions = 0;
    q.dry_run = true;
    ASSERT_OK(fixture_try(&f, &q, &k, &detail));
    ASSERT_TRUE(!k && !manager_store(f.m));
    q.dry_run = false;
    ASSERT_OK(fixture_try(&f, &q, &k, &detail));
    ASSERT_EQ(k->versions, KEY_VERSION_BIT(1));
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* Swapped names are refused before a store is made, unless forced. */
TEST(swapped_names)
{
    static const struct {
        const char *hostnqn, *subsysnqn;
        KeyRole role;
        int error;
    } cases[] = {
        {SUBSYSTEM, HOST, KEY_ROLE_HOST, -EINVAL},
        {SUBSYSTEM, HOST, KEY_ROLE_TARGET, -EINVAL},
        {HOST, HOST, KEY_ROLE_HOST, -EINVAL},
        {"nqn.2014-08.org.nvmexpress.discovery", SUBSYSTEM, KEY_ROLE_HOST, -EINVAL},
        {NULL, SUBSYSTEM, KEY_ROLE_TARGET, -ENODATA},
    };
    FIXTURE;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        KeyRequest q = {.hostnqn = cases[i].hostnqn,
                        .subsysnqn = cases[i].subsysnqn,
                        .role = cases[i].role,
                        .hash = PSK_HASH_SHA256};
        _cleanup_(freep) char *detail = NULL;
        Key *k = NULL;

        ASSERT_EQ(fixture_try(&f, &q, &k, &detail), cases[i].error);
        ASSERT_TRUE(detail);
        ASSERT_TRUE(!manager_store(f.m));
    }
}

TEST(own_hostnqn)
{
    _cleanup_(freep) char *detail = NULL;
    char line[NQN_LENGTH_MAX + 2];
    const KeyRequest q = {.subsysnqn = SUBSYSTEM, .role = KEY_ROLE_HOST, .hash = PSK_HASH_SHA256};
    Key *k = NULL;
    int r;
    FIXTURE;

    r = fixture_try(&f, &q, &k, &detail);
    if (io_read_line(NAMES_HOSTNQN_FILE, line, sizeof(line)) < 0) {
        ASSERT_EQ(r, -ENODATA);
        ASSERT_TRUE(detail && strstr(detail, NAMES_HOSTNQN_FILE));
    } else {
        ASSERT_OK(r);
        ASSERT_STR(k->hostnqn, line);
    }
}

/* Without a PSK a random one is made, of the size of the hash. */
TEST(generate)
{
    KeyRequest q = {.hostnqn = HOST, .role = KEY_ROLE_HOST, .hash = PSK_HASH_SHA384};
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(freep) char *detail = NULL;
    Key *a = NULL, *b = NULL;
    const uint8_t *bytes;
    size_t size;
    FIXTURE;

    q.subsysnqn = "nqn.2026-11.org.example:a";
    ASSERT_OK(fixture_try(&f, &q, &a, &detail));
    q.subsysnqn = "nqn.2026-11.org.example:b";
    ASSERT_OK(fixture_try(&f, &q, &b, &detail));
    ASSERT_TRUE(strcmp(a->digest, b->digest) != 0);
    ASSERT_OK(key_unseal(a, &payload));
    ASSERT_OK(key_payload_configured(payload, &bytes, &size));
    ASSERT_EQ(size, 48);
}

TEST(duplicate)
{
    Key *k, *other = NULL;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 0, 2, &other), -EEXIST);
    ASSERT_TRUE(other == k);
    other = NULL;
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_BOTH, 0, 2, &other), -EEXIST);
    ASSERT_TRUE(other == k);
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_OK(fixture_remove(&f, k->id));
    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 2));
}

/* A search for one role finds a key of the other role as well, so a pair has one key for both. */
TEST(duplicate_of_other_role)
{
    Key *host, *other = NULL;
    FIXTURE;

    host = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(host);
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 2, 2, &other), -EEXIST);
    ASSERT_TRUE(other == host);
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 2, 1, &other), -EEXIST);
    ASSERT_TRUE(ring_has_key(host, 1));
}

TEST(shadow)
{
    KeyRequest q = {
        .hostnqn = HOST, .subsysnqn = "nqn.x:ab", .role = KEY_ROLE_HOST, .hash = PSK_HASH_SHA256};
    _cleanup_(freep) char *detail = NULL, *detail_two = NULL;
    Key *k, *other = NULL;
    FIXTURE;

    k = fixture_add(&f, "nqn.x:a", KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_EQ(fixture_try(&f, &q, &other, &detail), -ENOTUNIQ);
    ASSERT_TRUE(other == k);
    ASSERT_TRUE(detail && strstr(detail, "nqn.x:a ") && strstr(detail, k->id));
    /* The other order is refused as well. */
    q.subsysnqn = "nqn.x:";
    ASSERT_EQ(fixture_try(&f, &q, &other, &detail_two), -ENOTUNIQ);
    ASSERT_EQ(fixture_keys(&f), 1);
    q.force = true;
    ASSERT_OK(fixture_try(&f, &q, &other, &detail_two));
    ASSERT_TRUE(ring_has_key(other, 1));
    ASSERT_TRUE(ring_has_key(k, 1));
}

TEST(remove)
{
    char id[STORE_ID_SIZE];
    Key *k, *other;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    other = fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k && other);
    strcpy(id, k->id);
    ASSERT_EQ(fixture_remove(&f, "0000000000000000"), -ENOENT);
    ASSERT_EQ(fixture_remove(&f, ""), -ENOENT);
    ASSERT_OK(fixture_remove(&f, id));
    ASSERT_EQ(fixture_remove(&f, id), -ENOENT);
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_EQ(ring_size(), 2);
    ASSERT_TRUE(ring_has_key(other, 0) && ring_has_key(other, 1));
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_EQ(fixture_keys(&f), 1);
}

/* Keys in the ring stay while the store cannot be read. */
TEST(store_unreadable)
{
    char path[96];
    ReconcileResult s;
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(fixture_restart(&f));
    snprintf(path, sizeof(path), "%s/store", f.dir);
    ASSERT_OK(truncate(path, 10));
    ASSERT_EQ(fixture_open(&f, f.m), -EBADMSG);
    ASSERT_TRUE(vault_detail(manager_vault(f.m)));
    ASSERT_TRUE(!manager_store(f.m));
    ASSERT_EQ(fixture_sync(&f, &s), -EBADMSG);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_EQ(fixture_keys(&f), 0);
    ASSERT_EQ(fixture_remove(&f, "0123456789abcdef"), -EIO);
    ASSERT_TRUE(!fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
}

TEST(store_locked)
{
    Manager *other = NULL;
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_OK(fixture_new_manager(&f, f.dir, &other));
    ASSERT_EQ(fixture_open(&f, other), -EBUSY);
    ASSERT_TRUE(vault_detail(manager_vault(other)));
    fixture_close(&f);
    ASSERT_EQ(fixture_keys(&f), 0);
    ASSERT_OK(fixture_open(&f, other));
    ASSERT_TRUE(!vault_detail(manager_vault(other)));
    ASSERT_EQ(key_table_size(manager_keys(other)), 1);
    manager_free(other);
}

static void count_events(_unused_ VaultEvent event, void *userdata)
{
    ++*(int *)userdata;
}

/* A job that cannot start is an error of vault_await() itself, without an event, because no other
 * caller can be waiting yet. */
TEST(a_job_that_cannot_start)
{
    struct rlimit old, low;
    int events = 0;
    bool settled;
    Vault *v;
    FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1));
    ASSERT_TRUE(fixture_restart(&f));
    v = manager_vault(f.m);
    manager_set_handler(f.m, count_events, &events);
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &old));
    low = old;
    /* Leaves enough descriptors for the directory and the file of the store, and too few for a
     * pipe. */
    low.rlim_cur = (rlim_t)dup(0) + 2;
    close((int)low.rlim_cur - 2);
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &low));
    settled = vault_await(v);
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &old));
    ASSERT_TRUE(settled && vault_error(v) == -EMFILE && vault_detail(v));
    ASSERT_EQ(events, 0);
    ASSERT_TRUE(!vault_is_opening(v));
}

/* A record that is authentic, but not in the one form of metadata, is broken; the others are not.
 */
TEST(metadata_in_another_form)
{
    _cleanup_(secret_freep) Secret *secret = fixture_psk(1);
    _cleanup_(store_endp) StoreTransaction *t = NULL;
    _cleanup_(freep) char *meta = NULL, *spaced = NULL;
    char id[STORE_ID_SIZE];
    const Key *k;
    FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k && secret);
    meta = key_to_meta(k);
    ASSERT_TRUE(meta && asprintf(&spaced, "{ %s", meta + 1) > 0);
    ASSERT_OK(store_begin((Store *)(uintptr_t)manager_store(f.m), &t));
    ASSERT_OK(store_add(t, spaced, secret, id));
    ASSERT_OK(store_commit(t));
    t = store_end(t);
    ASSERT_TRUE(fixture_restart(&f));
    ASSERT_OK(fixture_open(&f, f.m));
    ASSERT_EQ(key_table_size(manager_keys(f.m)), 2);
    k = key_table_find(manager_keys(f.m), id);
    ASSERT_TRUE(k && k->state == KEY_BROKEN && k->error == -EBADMSG && k->generation == 1);
    ASSERT_TRUE(
        key_table_pair(manager_keys(f.m), HOST, strlen(HOST), SUBSYSTEM, strlen(SUBSYSTEM)));
}
