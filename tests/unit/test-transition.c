/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "life-fixture.h"
#include "nvme-keyd/manager/transition.h"

/* A commit that fails changes nothing. */

static int do_stage(Fixture *f, const char *id)
{
    char new[KEY_ID_SIZE];

    return life_stage(f, id, 3, new);
}

static int do_rotate(Fixture *f, const char *id)
{
    Rotation q = {.at_once = true};
    char new[KEY_ID_SIZE];

    return life_rotate(f, id, &q, 3, new);
}

static int do_retire(Fixture *f, const char *id)
{
    return life_retire(f, id, true);
}

static int do_revoke(Fixture *f, const char *id)
{
    return life_revoke(f, id, true);
}

static int do_revert(Fixture *f, const char *id)
{
    char other[KEY_ID_SIZE];

    return life_revert(f, id, other);
}

static int do_plan(Fixture *f, const char *id)
{
    return life_plan(f, id, KEY_STEP_RETIRE, now_realtime() + DAY_USEC);
}

static int do_remove(Fixture *f, const char *id)
{
    return fixture_remove(f, id);
}

/* If the commit of a verb fails, nothing has changed: not in memory, the store, or the ring. */
TEST(faults)
{
    static int (*const verbs[])(Fixture * f, const char *id) = {
        do_stage, do_rotate, do_retire, do_revoke, do_revert, do_plan, do_remove};
    static const KeyRole roles[] = {KEY_ROLE_HOST, KEY_ROLE_TARGET, KEY_ROLE_BOTH};

    for (size_t i = 0; i < ARRAY_SIZE(verbs) * ARRAY_SIZE(roles); i++) {
        KeyRole role = roles[i % ARRAY_SIZE(roles)];
        char old[KEY_ID_SIZE], id[KEY_ID_SIZE];
        Rotation q = {.at_once = true};
        int r;
        LIFE;

        ASSERT_TRUE(life_add(&f, role, 1, old));
        ASSERT_OK(life_rotate(&f, old, &q, 2, id));
        commits_fail = true;
        r = verbs[i / ARRAY_SIZE(roles)](&f, id);
        commits_fail = false;
        if (r != -EIO)
            TEST_FAIL("verb %zu: %d", i / ARRAY_SIZE(roles), r);
        for (int n = 0; n < 2; n++) {
            ASSERT_TRUE(life_state(&f, id) == KEY_ACTIVE && life_state(&f, old) == KEY_RETIRING);
            ASSERT_TRUE(life_find(&f, id)->step == KEY_STEP_NONE && fixture_keys(&f) == 2);
            ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, old) == (role == KEY_ROLE_TARGET));
            ASSERT_TRUE(life_restart(&f));
        }
        ASSERT_OK(verbs[i / ARRAY_SIZE(roles)](&f, id));
    }
}

static bool add_new(Transition *t, const char *subsysnqn, uint8_t seed)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed), *payload = NULL;
    const KeyRequest q = {.hostnqn = HOST,
                          .subsysnqn = subsysnqn,
                          .role = KEY_ROLE_TARGET,
                          .hash = PSK_HASH_SHA256,
                          .configured = psk};
    _cleanup_(freep) char *detail = NULL;
    _cleanup_(key_freep) Key *k = NULL;

    return key_make(&q, NULL, &k, &payload, &detail) == 0 && transition_add(t, &k, payload) == 0;
}

/* Several new keys, and changes of others, are one commit, and if it fails, none of them stays. */
TEST(several)
{
    char old[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, old));
    for (int fails = 1; fails >= 0; fails--) {
        _cleanup_(transition_done) Transition t = {.m = f.m};

        ASSERT_TRUE(add_new(&t, SUBSYSTEM ":1", 2) && add_new(&t, SUBSYSTEM ":2", 3));
        ASSERT_OK(transition_apply(&t, life_find(&f, old), KEY_EVENT_RETIRE));
        ASSERT_EQ(fixture_keys(&f), 3);
        n_commits = 0;
        commits_fail = fails;
        ASSERT_EQ(transition_commit(&t), fails ? -ENOSPC : 0);
        commits_fail = false;
        ASSERT_TRUE(fails || n_commits == 1);
        transition_done(&t);
        ASSERT_EQ(fixture_keys(&f), fails ? 1 : 3);
        ASSERT_EQ(life_state(&f, old), fails ? KEY_ACTIVE : KEY_RETIRING);
    }
    ASSERT_TRUE(life_restart(&f));
    ASSERT_EQ(fixture_keys(&f), 3);
    ASSERT_EQ(ring_size(), 6);
}
