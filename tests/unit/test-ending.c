/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "life-fixture.h"

/* Retiring and revoking keys, and what is planned. */

TEST(retire_host)
{
    char id[KEY_ID_SIZE], new[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
    ASSERT_EQ(life_retire(&f, id, false), -EADDRINUSE);
    ASSERT_OK(life_stage(&f, id, 2, new));
    ASSERT_EQ(life_retire(&f, id, false), -EADDRINUSE);
    ASSERT_OK(life_retire(&f, new, false));
    ASSERT_EQ(life_state(&f, new), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, id));
    ASSERT_OK(life_retire(&f, id, true));
    ASSERT_EQ(ring_size(), 0);
    life_set_clocks(RETIRE_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(fixture_keys(&f), 0);
}

TEST(retire_target)
{
    char id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_OK(life_retire(&f, id, false));
    ASSERT_TRUE(life_in_ring(&f, id) && life_state(&f, id) == KEY_RETIRING);
    ASSERT_OK(life_activate(&f, id));
    ASSERT_EQ(life_find(&f, id)->step, KEY_STEP_NONE);
    ASSERT_OK(life_retire(&f, id, false));
    life_set_clocks(RETIRE_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(ring_size() == 0 && fixture_keys(&f) == 0);
}

/* True if the kernel refuses to use a key. */
static bool is_revoked(int32_t serial)
{
    char text[256];

    return keyctl_describe(serial, text, sizeof(text)) < 0 &&
           (errno == EKEYREVOKED || errno == ENOKEY);
}

TEST(revoke_target)
{
    _cleanup_(freep) char *detail = NULL;
    char id[KEY_ID_SIZE], other[KEY_ID_SIZE];
    Rotation same = {.same_psk = true, .key = {.derivation = PSK_COMPAT}, .has_derivation = true};
    int32_t serials[KEY_VERSIONS];
    Key *k = NULL;
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    memcpy(serials, life_find(&f, id)->serials, sizeof(serials));
    ASSERT_OK(life_revoke(&f, id, false));
    ASSERT_EQ(life_state(&f, id), KEY_REVOKED);
    ASSERT_TRUE(ring_size() == 0 && is_revoked(serials[0]) && is_revoked(serials[1]));
    ASSERT_EQ(life_rotate(&f, id, &same, 0, other), -EBUSY);
    ASSERT_EQ(life_activate(&f, id), -EBUSY);
    ASSERT_EQ(life_revoke(&f, id, false), -EBUSY);
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(life_state(&f, id), KEY_REVOKED);
    ASSERT_EQ(ring_size(), 0);

    /* Its PSK does not come back, in whatever form. */
    ASSERT_EQ(fixture_try_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 0, 1, &k), -EINVAL);
    {
        _cleanup_(secret_freep) Secret *psk = fixture_psk(1);
        const KeyRequest q = {.hostnqn = HOST,
                              .subsysnqn = SUBSYSTEM,
                              .role = KEY_ROLE_HOST,
                              .hash = PSK_HASH_SHA256,
                              .derivation = PSK_COMPAT,
                              .configured = psk};

        ASSERT_EQ(fixture_try(&f, &q, &k, &detail), -EINVAL);
    }
    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 2, other));
    ASSERT_EQ(life_stage(&f, other, 1, id), -EINVAL);
    ASSERT_TRUE(life_in_ring(&f, other) && ring_size() == 2);
}

/* While it is accepted for the old and for the new key, a PSK is revoked for both. */
TEST(revoke_all_of_a_psk)
{
    char first[KEY_ID_SIZE], second[KEY_ID_SIZE], third[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, first));
    ASSERT_OK(life_stage(&f, first, 2, second));
    ASSERT_OK(life_stage(&f, second, 1, third));
    ASSERT_OK(life_revoke(&f, third, false));
    ASSERT_EQ(life_state(&f, first), KEY_REVOKED);
    ASSERT_EQ(life_state(&f, second), KEY_RETIRING);
    ASSERT_TRUE(life_in_ring(&f, second) && ring_find(life_find(&f, third)->identities[1]) == 0);
}

/* And in each derivation of it. */
TEST(revoke_all_derivations)
{
    char id[KEY_ID_SIZE], compat[KEY_ID_SIZE];
    Rotation q = {.key = {.derivation = PSK_COMPAT}, .has_derivation = true, .same_psk = true};
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_OK(life_rotate(&f, id, &q, 0, compat));
    ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, compat));
    ASSERT_OK(life_revoke(&f, compat, false));
    ASSERT_TRUE(life_state(&f, id) == KEY_REVOKED && ring_size() == 0);
}

/* A controller refers to the serial: it would not survive its reset with a revoked one. */
TEST(revoke_host)
{
    _cleanup_(life_sysfs_end) Sysfs s = sysfs_new();
    char id[KEY_ID_SIZE];
    int32_t serial;
    LIFE;

    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
    serial = life_find(&f, id)->serials[1];
    sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, serial);
    /* A reference, as the controller has one. */
    ASSERT_TRUE(keyctl_link(serial, KEY_SPEC_SESSION_KEYRING) == 0);
    ASSERT_EQ(life_revoke(&f, id, false), -EADDRINUSE);
    ASSERT_TRUE(life_in_ring(&f, id) && life_state(&f, id) == KEY_ACTIVE);
    ASSERT_OK(life_revoke(&f, id, true));
    ASSERT_TRUE(ring_size() == 0 && !is_revoked(serial));
    ASSERT_OK(keyctl_unlink(serial, KEY_SPEC_SESSION_KEYRING));
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(ring_size(), 0);
}

/* Power was lost after the commit: what is still there is ended when the ring is reconciled. */
TEST(revoked_in_the_ring)
{
    _cleanup_(life_sysfs_end) Sysfs s = sysfs_new();
    char id[KEY_ID_SIZE];
    int32_t serial;
    Key *k;
    LIFE;

    ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
    ASSERT_TRUE(ring_make() && life_add(&f, KEY_ROLE_HOST, 1, id));
    for (int used = 0; used < 2; used++) {
        k = life_find(&f, id);
        serial = k->serials[1];
        ASSERT_TRUE(serial > 0);
        ASSERT_TRUE(keyctl_link(serial, KEY_SPEC_SESSION_KEYRING) == 0);
        if (used)
            sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, serial);
        ASSERT_TRUE(ring_set_writable(false));
        ASSERT_EQ(life_revoke(&f, id, true), -ENOTCONN);
        ASSERT_TRUE(ring_set_writable(true));
        if (used) {
            ASSERT_TRUE(ring_find(k->identities[1]) == serial);
            ASSERT_TRUE(life_restart(&f));
        }
        ASSERT_TRUE(life_sync(&f));
        ASSERT_EQ(ring_find(life_find(&f, id)->identities[1]), 0);
        ASSERT_EQ(is_revoked(serial), !used);
        (void)keyctl_unlink(serial, KEY_SPEC_SESSION_KEYRING);
        if (!used)
            ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 2, id));
    }
}

/* Each step is taken once at its time, by the wall clock or by the uptime. */
TEST(steps)
{
    static const struct {
        KeyStep step;
        KeyRole role;
        KeyState after;
    } cases[] = {
        {KEY_STEP_RETIRE, KEY_ROLE_TARGET, KEY_RETIRING},
        {KEY_STEP_REVOKE, KEY_ROLE_TARGET, KEY_REVOKED},
        {KEY_STEP_REVOKE, KEY_ROLE_HOST, KEY_REVOKED},
        {KEY_STEP_REMOVE, KEY_ROLE_TARGET, KEY_GONE},
        {KEY_STEP_REMOVE, KEY_ROLE_HOST, KEY_GONE},
    };

    for (size_t i = 0; i < 3 * ARRAY_SIZE(cases); i++) {
        size_t c = i / 3;
        bool by_uptime = i % 3 == 1, restarted = i % 3 == 2;
        char id[KEY_ID_SIZE];
        const TakenStep *taken;
        LIFE;

        ASSERT_TRUE(life_add(&f, cases[c].role, 1, id));
        ASSERT_OK(life_plan(&f, id, cases[c].step, now_realtime() + DAY_USEC));
        ASSERT_TRUE(!restarted || life_restart(&f));
        life_set_clocks(DAY_USEC - 60 * USEC_PER_SEC, DAY_USEC - 60 * USEC_PER_SEC, !by_uptime);
        ASSERT_TRUE(life_sync(&f) && life_state(&f, id) == KEY_ACTIVE && life_in_ring(&f, id));
        /* A clock that is not known to be right is no reason. */
        life_set_clocks(1000 * DAY_USEC, DAY_USEC - 60 * USEC_PER_SEC, false);
        ASSERT_TRUE(life_sync(&f) && life_state(&f, id) == KEY_ACTIVE && life_in_ring(&f, id));
        life_set_clocks(by_uptime ? 0 : DAY_USEC, by_uptime ? DAY_USEC : 0, !by_uptime);
        /* What the store did not take has not happened. */
        commits_fail = true;
        ASSERT_TRUE(!life_sync(&f) && life_state(&f, id) == KEY_ACTIVE);
        ASSERT_TRUE(!manager_next_step(f.m));
        commits_fail = false;
        n_commits = 0;
        ASSERT_TRUE(life_sync(&f));
        if (life_state(&f, id) != cases[c].after || n_commits != 1)
            TEST_FAIL("case %zu: state %d after %u commits", i, life_state(&f, id), n_commits);
        taken = manager_next_step(f.m);
        ASSERT_TRUE(taken && taken->step == cases[c].step);
        ASSERT_STR(taken->id, id);
        ASSERT_STR(taken->hostnqn, HOST);
        ASSERT_STR(taken->subsysnqn, SUBSYSTEM);
        ASSERT_TRUE(!manager_next_step(f.m));
        ASSERT_TRUE(life_sync(&f));
        ASSERT_EQ(n_commits, 1);
    }
}

/* One step for a key: another one takes its place, or none. */
TEST(replan)
{
    char id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_EQ(life_plan(&f, id, KEY_STEP_NONE, 0), -EBUSY);
    ASSERT_EQ(life_plan(&f, id, KEY_STEP_ACTIVATE, now_realtime() + DAY_USEC), -EBUSY);
    ASSERT_OK(life_plan(&f, id, KEY_STEP_REVOKE, now_realtime() + DAY_USEC));
    ASSERT_OK(life_plan(&f, id, KEY_STEP_RETIRE, now_realtime() + 2 * DAY_USEC));
    ASSERT_TRUE(life_restart(&f));
    life_set_clocks(DAY_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f) && life_state(&f, id) == KEY_ACTIVE);
    ASSERT_OK(life_plan(&f, id, KEY_STEP_NONE, 0));
    ASSERT_EQ(manager_deadline(f.m), 0);
    ASSERT_TRUE(life_restart(&f));
    life_set_clocks(3 * DAY_USEC, 3 * DAY_USEC, true);
    ASSERT_TRUE(life_sync(&f) && life_state(&f, id) == KEY_ACTIVE && life_in_ring(&f, id));
    /* A retiring key without a step stays until it gets one. */
    ASSERT_OK(life_retire(&f, id, false));
    ASSERT_OK(life_plan(&f, id, KEY_STEP_NONE, 0));
    life_set_clocks(9 * DAY_USEC, 9 * DAY_USEC, true);
    ASSERT_TRUE(life_sync(&f) && life_in_ring(&f, id));
}

/* A key that is displaced ends at the time that was planned for it, if that comes first. */
TEST(displaced_with_a_plan)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, old));
    ASSERT_OK(life_plan(&f, old, KEY_STEP_REVOKE, now_realtime() + RETIRE_USEC / 2));
    ASSERT_OK(life_stage(&f, old, 2, new));
    life_set_clocks(RETIRE_USEC / 2, 0, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, old), KEY_REVOKED);
    ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == 2);
}

/* A step that would cost a controller its key waits, and stays due. */
TEST(step_waits)
{
    static const KeyStep steps[] = {KEY_STEP_RETIRE, KEY_STEP_REVOKE, KEY_STEP_REMOVE};

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        _cleanup_(life_sysfs_end) Sysfs s = sysfs_new();
        char id[KEY_ID_SIZE], new[KEY_ID_SIZE];
        ManagerDue due;
        LIFE;

        ASSERT_OK(setenv(NAMES_ENV_CONTROLLERS, s.dir, 1));
        ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
        sysfs_put_live(&s, "nvme0", HOST, SUBSYSTEM, life_find(&f, id)->serials[1]);
        ASSERT_OK(life_plan(&f, id, steps[i], now_realtime() + DAY_USEC));
        life_set_clocks(2 * DAY_USEC, 0, true);
        ASSERT_TRUE(life_sync(&f) && life_in_ring(&f, id) && life_state(&f, id) == KEY_ACTIVE);
        manager_due(f.m, &due);
        ASSERT_TRUE(due.overdue);
        ASSERT_OK(life_stage(&f, id, 2, new));
        ASSERT_OK(life_activate(&f, new));
        ASSERT_TRUE(life_in_ring(&f, new) && ring_size() == 1);
        ASSERT_TRUE(life_state(&f, id) != KEY_ACTIVE);
    }
}

/* The steps of many keys are one commit. */
TEST(one_round)
{
    static const char *const names[] = {"nqn.x:a", "nqn.x:b", "nqn.x:c", "nqn.x:d"};
    char ids[ARRAY_SIZE(names)][KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation q = {.same_psk = false};
    LIFE;

    q.at_usec = now_realtime() + DAY_USEC;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const Key *k = fixture_add(&f, names[i], i < 2 ? KEY_ROLE_HOST : KEY_ROLE_TARGET, 1);

        ASSERT_TRUE(k);
        strcpy(ids[i], k->id);
    }
    ASSERT_OK(life_rotate(&f, ids[0], &q, 2, new));
    ASSERT_OK(life_plan(&f, ids[1], KEY_STEP_REMOVE, now_realtime() + DAY_USEC));
    ASSERT_OK(life_plan(&f, ids[2], KEY_STEP_RETIRE, now_realtime() + DAY_USEC));
    ASSERT_OK(life_plan(&f, ids[3], KEY_STEP_REVOKE, now_realtime() + DAY_USEC));
    life_set_clocks(DAY_USEC + USEC_PER_SEC, 0, true);

    /* A store that cannot be written: all stays as it is, and is tried again. */
    commits_fail = true;
    ASSERT_TRUE(!life_sync(&f));
    ASSERT_TRUE(life_state(&f, ids[0]) == KEY_ACTIVE && life_state(&f, new) == KEY_PENDING &&
                life_state(&f, ids[1]) == KEY_ACTIVE && life_state(&f, ids[2]) == KEY_ACTIVE &&
                life_state(&f, ids[3]) == KEY_ACTIVE);
    ASSERT_TRUE(life_in_ring(&f, ids[0]) && life_in_ring(&f, ids[1]) && life_in_ring(&f, ids[3]));
    commits_fail = false;
    n_commits = 0;
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(n_commits, 1);
    for (int i = 0; i < 2; i++) {
        ASSERT_TRUE(life_state(&f, ids[0]) == KEY_ACTIVE && life_find(&f, new)->follow &&
                    life_state(&f, ids[1]) == KEY_GONE && life_state(&f, ids[2]) == KEY_RETIRING &&
                    life_state(&f, ids[3]) == KEY_REVOKED);
        ASSERT_TRUE(life_in_ring(&f, ids[0]) && life_in_ring(&f, ids[2]) && ring_size() == 3);
        ASSERT_TRUE(life_restart(&f));
    }
}

/* At its time a host begins to ask whether its targets have the new key. */
TEST(planned_switch)
{
    char old[KEY_ID_SIZE], new[KEY_ID_SIZE];
    Rotation q = {.same_psk = false};
    LIFE;

    q.at_usec = now_realtime() + DAY_USEC;
    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, old));
    ASSERT_OK(life_rotate(&f, old, &q, 2, new));
    ASSERT_TRUE(life_sync(&f));
    ASSERT_TRUE(!life_find(&f, new)->follow);
    life_set_clocks(2 * DAY_USEC, 0, true);
    ASSERT_TRUE(life_sync(&f));
    for (int i = 0; i < 2; i++) {
        const Key *k = life_find(&f, new);

        ASSERT_TRUE(k->follow && k->step == KEY_STEP_NONE && k->state == KEY_PENDING);
        ASSERT_TRUE(life_in_ring(&f, old) && life_state(&f, old) == KEY_ACTIVE);
        ASSERT_TRUE(life_restart(&f));
    }
}
