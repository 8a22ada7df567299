/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "life-fixture.h"

/* Rotating, activating and going back, in each role: what the store has, and what the ring. */

/* One at a time is offered, and the other one is sealed, at every point and after a restart. */
static void switch_host(KeyRole role)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE], none[KEY_ID_SIZE];
    size_t n = role == KEY_ROLE_HOST ? 1 : 2;
    LIFE;

    ASSERT_TRUE(life_add(&f, role, 1, old));
    n_commits = 0;
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_EQ(n_commits, 1);
    ASSERT_EQ(life_state(&f, new), KEY_PENDING);
    ASSERT_EQ(life_state(&f, old), KEY_ACTIVE);
    ASSERT_STR(life_find(&f, new)->succeeds, old);
    ASSERT_TRUE(life_in_ring(&f, old) && ring_size() == n);
    ASSERT_EQ(life_stage(&f, old, 3, none), -EEXIST);
    ASSERT_EQ(life_stage(&f, new, 3, none), -EBUSY);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(life_state(&f, new), KEY_PENDING);
    ASSERT_TRUE(life_in_ring(&f, old) && ring_size() == n);

    n_commits = 0;
    ASSERT_OK(life_activate(&f, new));
    ASSERT_EQ(n_commits, 1);
    ASSERT_EQ(life_state(&f, new), KEY_ACTIVE);
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == n);
    ASSERT_EQ(life_activate(&f, new), -EBUSY);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(life_state(&f, new), KEY_ACTIVE);
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == n && fixture_keeps(&f, life_find(&f, old)));

    /* And back, by either id. */
    ASSERT_OK(life_revert(&f, new, none));
    ASSERT_STR(none, old);
    ASSERT_TRUE(life_in_ring(&f, old) && ring_size() == n);
    ASSERT_EQ(life_state(&f, new), KEY_RETIRING);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_OK(life_revert(&f, new, none));
    ASSERT_STR(none, new);
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == n);
}

TEST(host)
{
    switch_host(KEY_ROLE_HOST);
}

TEST(both)
{
    switch_host(KEY_ROLE_BOTH);
}
/* A lookup of the kernel that has missed the new key still finds the old one. */
TEST(switch_outlasts_a_lookup)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    uint64_t begin;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    ASSERT_OK(life_stage(&f, old, 2, new));
    begin = now_monotonic();
    ASSERT_OK(life_activate(&f, new));
    ASSERT_TRUE(now_monotonic() - begin >= RING_LOOKUP_USEC);
}
/* The same where both changes are found by reconciling. */
TEST(sync_outlasts_a_lookup)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    uint64_t begin;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    ASSERT_OK(life_stage(&f, old, 2, new));
    life_find(&f, new)->state = KEY_ACTIVE;
    life_find(&f, old)->state = KEY_RETIRING;
    begin = now_monotonic();
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(now_monotonic() - begin >= RING_LOOKUP_USEC && ring_size() == 1);
}

/* The controllers cannot be read, so nothing is known of one that is pinned to the old key: both
 * stay, until a later look. */
TEST(switch_without_controllers)
{
    _cleanup_(life_sysfs_end) Sysfs s = sysfs_new();
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, "/dev/null", 1));
    ASSERT_OK(life_activate(&f, new));
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new));
    ASSERT_TRUE(publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_TRUE(!life_sync(&f) && ring_size() == 2);
    ASSERT_TRUE(publisher_has_unpublished(manager_publisher(f.m)));
    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == 1);
    ASSERT_TRUE(!publisher_has_unpublished(manager_publisher(f.m)));
}

/* Version 0: both keys have one identity, which has the bytes of the active one. */
TEST(host_version_0)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE], id[KEY_ID_SIZE];
    Key *k = NULL;
    LIFE;

    ASSERT_OK(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_HOST, KEY_VERSION_BIT(0), 1, &k));
    strcpy(old, k->id);
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_TRUE(ring_has_key(life_find(&f, old), 0));
    ASSERT_OK(life_activate(&f, new));
    ASSERT_TRUE(ring_has_key(life_find(&f, new), 0) && ring_size() == 1);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(ring_has_key(life_find(&f, new), 0) && ring_size() == 1);
    ASSERT_OK(life_revert(&f, new, id));
    ASSERT_TRUE(ring_has_key(life_find(&f, old), 0) && ring_size() == 1);
}

TEST(nothing_to_go_back_to)
{
    char id[KEY_ID_SIZE], none[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
    ASSERT_EQ(life_revert(&f, id, none), -EBUSY);
    ASSERT_OK(life_stage(&f, id, 2, none));
    ASSERT_EQ(life_revert(&f, none, none), -EBUSY);
    ASSERT_EQ(life_revert(&f, "0000000000000000", none), -ENOENT);
}

/* The old key of a host outlives its deadline until a controller is connected by the new one. */
TEST(way_back)
{
    _cleanup_(life_sysfs_end) Sysfs s = sysfs_new();
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    ManagerDue due;
    LIFE;

    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, life_find(&f, old)->serials[1]);
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_OK(life_activate(&f, new));
    life_set_clocks(2 * RETIRE_USEC, 2 * RETIRE_USEC, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
    /* Nothing has to wait for it. */
    manager_due(f.m, &due);
    ASSERT_TRUE(!due.overdue && manager_deadline(f.m) == 0);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);

    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, life_find(&f, new)->serials[1]);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(life_find(&f, new)->confirmed_usec > 0);
    ASSERT_EQ(life_state(&f, old), KEY_GONE);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_TRUE(life_find(&f, new)->confirmed_usec > 0 && fixture_keys(&f) == 1);
}

/* The end of a new key that has not worked leaves the old one as the only PSK of the pair. */
TEST(way_back_alone)
{
    for (int revoked = 0; revoked < 2; revoked++) {
        char old[KEY_ID_SIZE], new[KEY_ID_SIZE], back[KEY_ID_SIZE];
        LIFE;

        ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
        ASSERT_OK(life_stage(&f, old, 2, new));
        ASSERT_OK(life_activate(&f, new));
        ASSERT_OK(revoked ? life_revoke(&f, new, true) : fixture_remove(&f, new));
        life_set_clocks(2 * RETIRE_USEC, 2 * RETIRE_USEC, true);
        ASSERT_TRUE(life_sync(&f) && life_restart(&f));
        ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
        ASSERT_OK(life_revert(&f, old, back));
        ASSERT_TRUE(life_in_ring(&f, old));
    }
}

TEST(confirm)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    uint64_t first;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_OK(manager_confirm(f.m, life_find(&f, new)));
    first = life_find(&f, new)->confirmed_usec;
    n_commits = 0;
    ASSERT_OK(manager_confirm(f.m, life_find(&f, new)));
    ASSERT_TRUE(first > 0 && n_commits == 0 && life_find(&f, new)->confirmed_usec == first);
    ASSERT_OK(life_activate(&f, new));
    life_set_clocks(RETIRE_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, old), KEY_GONE);
}

TEST(target)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE], id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, old));
    ASSERT_OK(life_stage(&f, old, 2, new));
    ASSERT_EQ(life_state(&f, new), KEY_ACTIVE);
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, new), 0));
    ASSERT_OK(life_revert(&f, new, id));
    ASSERT_STR(id, old);
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, old), 0));
    ASSERT_EQ(ring_size(), 3);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, old), 0));
    life_set_clocks(RETIRE_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, new), KEY_GONE);
    ASSERT_EQ(ring_size(), 2);
}

/* The successor is accepted early, and active at its time. */
TEST(target_later)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation q = {.same_psk = false};
    LIFE;

    q.at_usec = now_realtime() + DAY_USEC;
    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, old));
    ASSERT_OK(life_rotate(&f, old, &q, 2, new));
    ASSERT_EQ(life_state(&f, new), KEY_PENDING);
    ASSERT_EQ(life_find(&f, new)->step, KEY_STEP_ACTIVATE);
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, old), 0));
    ASSERT_TRUE(life_restart(&f));
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, old), 0));
    ASSERT_EQ(life_state(&f, new), KEY_PENDING);
    life_set_clocks(DAY_USEC + USEC_PER_SEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, new), KEY_ACTIVE);
    ASSERT_EQ(life_state(&f, old), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new) &&
                ring_has_key(life_find(&f, new), 0));
    ASSERT_TRUE(life_find(&f, old)->deadline_usec >= now_realtime() + RETIRE_USEC - DAY_USEC / 24);
}

/* True if the key has its identity of version 0 in the ring, alone of all. */
static bool has_version_0(const Fixture *f, const char *id, const char *const *others)
{
    for (; *others; others++)
        if (strcmp(*others, id) != 0 && life_find(f, *others) &&
            ring_has_key(life_find(f, *others), 0))
            return false;
    return ring_has_key(life_find(f, id), 0);
}

/* An identity of version 0 belongs to the key that was active last, also after a restart and if the
 * active key has none. Nothing is missing then. */
TEST(version_0_of_retiring_keys)
{
    char a[KEY_ID_SIZE], b[KEY_ID_SIZE], c[KEY_ID_SIZE], d[KEY_ID_SIZE], e[KEY_ID_SIZE] = "";
    const char *const ids[] = {a, b, c, NULL};
    Rotation plain = {.same_psk = false}, v1 = {.key = {.versions = KEY_VERSION_BIT(1)}};
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, a));
    ASSERT_OK(life_rotate(&f, a, &plain, 2, b));
    ASSERT_EQ(manager_look(f.m, true)->missing, 0);
    ASSERT_EQ(manager_look(f.m, true)->identities, 3);
    ASSERT_OK(life_rotate(&f, b, &plain, 3, c));
    ASSERT_OK(life_rotate(&f, c, &v1, 4, d));
    ASSERT_TRUE(has_version_0(&f, c, ids) && ring_size() == 5);
    ASSERT_TRUE(life_restart(&f) && has_version_0(&f, c, ids));
    ASSERT_EQ(keyctl_clear(fixture_ring()), 0);
    ASSERT_TRUE(life_sync(&f) && has_version_0(&f, c, ids) && ring_size() == 5);
    ASSERT_EQ(manager_look(f.m, true)->missing, 0);

    /* A pending key has it once no other needs it. */
    ASSERT_OK(fixture_remove(&f, d));
    ASSERT_OK(life_activate(&f, c));
    plain.at_usec = now_realtime() + DAY_USEC;
    ASSERT_OK(life_rotate(&f, c, &plain, 5, e));
    ASSERT_OK(life_retire(&f, c, false));
    ASSERT_TRUE(has_version_0(&f, c, ids) && !ring_has_key(life_find(&f, e), 0));
    ASSERT_EQ(manager_look(f.m, true)->missing, 0);
    ASSERT_TRUE(life_restart(&f) && has_version_0(&f, c, ids));
    life_set_clocks(RETIRE_USEC + USEC_PER_SEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, c), KEY_GONE);
    ASSERT_TRUE(ring_has_key(life_find(&f, e), 0));
}

/* A target could have keys of two hashes, or of two derivations, side by side, but a rotation has
 * only one of them active: at once, at its time, and after going back. */
TEST(target_other_hash)
{
    for (int later = 0; later < 2; later++) {
        char old[KEY_ID_SIZE], new[KEY_ID_SIZE], back[KEY_ID_SIZE];
        Rotation compat = {
            .key = {.derivation = PSK_COMPAT, .versions = KEY_VERSION_BIT(1)},
            .has_derivation = true,
            .same_psk = true,
        };
        LIFE;

        compat.at_usec = later ? now_realtime() + DAY_USEC : 0;
        ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, old));
        ASSERT_OK(life_rotate(&f, old, &compat, 0, new));
        life_set_clocks(later ? DAY_USEC : 0, 0, true);
        ASSERT_TRUE(life_sync(&f));
        ASSERT_TRUE(life_state(&f, new) == KEY_ACTIVE && life_state(&f, old) == KEY_RETIRING);
        ASSERT_EQ(life_find(&f, old)->step, KEY_STEP_REMOVE);
        ASSERT_TRUE(!manager_is_due(f.m, life_find(&f, new)));

        ASSERT_OK(life_revert(&f, new, back));
        ASSERT_STR(back, old);
        ASSERT_TRUE(life_state(&f, old) == KEY_ACTIVE && life_state(&f, new) == KEY_RETIRING);
        ASSERT_OK(life_revert(&f, new, back));
        ASSERT_STR(back, new);
        ASSERT_TRUE(life_state(&f, new) == KEY_ACTIVE && life_state(&f, old) == KEY_RETIRING);
        ASSERT_TRUE(life_in_ring(&f, old) && life_in_ring(&f, new));
    }
}

/* Hosts of several versions of libnvme use one PSK in several derivations. */
TEST(variants)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(1);
    _cleanup_(freep) char *detail = NULL, *again = NULL;
    KeyRequest q = {.hostnqn = HOST,
                    .subsysnqn = SUBSYSTEM,
                    .role = KEY_ROLE_TARGET,
                    .versions = KEY_VERSION_BIT(1),
                    .hash = PSK_HASH_SHA256,
                    .derivation = PSK_COMPAT,
                    .configured = psk};
    char id[KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation r = {.key = {.derivation = PSK_COMPAT}, .has_derivation = true, .same_psk = true};
    Key *k = NULL;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_OK(fixture_try(&f, &q, &k, &detail));
    ASSERT_TRUE(k->state == KEY_ACTIVE && life_state(&f, id) == KEY_ACTIVE);
    ASSERT_TRUE(life_in_ring(&f, id) && ring_has_key(k, 1) && ring_size() == 3);
    /* Two of one kind, or of one identity, cannot be told apart. */
    ASSERT_EQ(fixture_try(&f, &q, &k, &again), -EEXIST);
    ASSERT_EQ(life_rotate(&f, id, &r, 0, new), -EEXIST);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(ring_size(), 3);
}

/* On a host the kernel takes any of them. */
TEST(no_variants_on_a_host)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(1);
    _cleanup_(freep) char *detail = NULL;
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = SUBSYSTEM,
                          .role = KEY_ROLE_HOST,
                          .hash = PSK_HASH_SHA256,
                          .derivation = PSK_COMPAT,
                          .configured = psk};
    char id[KEY_ID_SIZE];
    Key *k = NULL;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
    ASSERT_EQ(fixture_try(&f, &q, &k, &detail), -EEXIST);
}

TEST(same_psk)
{
    char id[KEY_ID_SIZE], new[KEY_ID_SIZE], last[KEY_ID_SIZE];
    Rotation same = {.same_psk = true},
             compat = {.key = {.derivation = PSK_COMPAT}, .has_derivation = true, .same_psk = true},
             hash = {.key = {.hash = PSK_HASH_SHA384}, .has_hash = true, .same_psk = true},
             none = {.key = {.hash = PSK_HASH_NONE, .versions = KEY_VERSION_BIT(1)},
                     .has_hash = true,
                     .same_psk = true};
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_EQ(life_rotate(&f, id, &same, 0, new), -EINVAL);
    ASSERT_EQ(life_rotate(&f, id, &hash, 0, new), -EINVAL);
    ASSERT_EQ(fixture_keys(&f), 1);
    ASSERT_OK(life_rotate(&f, id, &compat, 0, new));
    ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, new) &&
                life_state(&f, id) == KEY_RETIRING);
    ASSERT_EQ(life_find(&f, new)->derivation, PSK_COMPAT);
    ASSERT_OK(life_rotate(&f, new, &none, 0, last));
    ASSERT_EQ(life_find(&f, last)->versions, KEY_VERSION_BIT(1));
    ASSERT_EQ(life_find(&f, last)->derivation, PSK_COMPAT);
    ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, new) && life_in_ring(&f, last));
}

/* A change of versions alone leaves identities that both keys have. */
TEST(same_psk_other_versions)
{
    char id[KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation q = {.key = {.versions = KEY_VERSION_BIT(1)}, .same_psk = true};
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_BOTH, 1, id));
    ASSERT_OK(life_rotate(&f, id, &q, 0, new));
    ASSERT_OK(life_activate(&f, new));
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == 1);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == 1);
}

TEST(cutover)
{
    _cleanup_(freep) char *detail = NULL, *warning = NULL, *other = NULL;
    const Rotation q = {.key = {.dry_run = true}},
                   planned = {.key = {.dry_run = true}, .at_usec = UINT32_MAX},
                   sha384 = {.key = {.dry_run = true, .hash = PSK_HASH_SHA384}, .has_hash = true};
    char id[KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation forced = {.key = {.force = true}};
    Key *k = NULL;
    LIFE;

    ASSERT_OK(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, KEY_VERSION_BIT(0), 1, &k));
    strcpy(id, k->id);
    /* An identity has the hash, so this is another one. */
    ASSERT_OK(manager_rotate(f.m, id, &sha384, &k, &warning, &detail));
    ASSERT_TRUE(!warning);
    ASSERT_EQ(manager_rotate(f.m, id, &q, &k, &warning, &detail), -EBUSY);
    ASSERT_TRUE(detail && strstr(detail, "version 0") && !warning);
    ASSERT_OK(manager_rotate(f.m, id, &planned, &k, &warning, &other));
    ASSERT_TRUE(warning && strstr(warning, "version 0"));
    ASSERT_EQ(life_stage(&f, id, 2, new), -EBUSY);
    ASSERT_OK(life_rotate(&f, id, &forced, 2, new));
    ASSERT_TRUE(ring_has_key(life_find(&f, new), 0) && ring_size() == 1);
}
