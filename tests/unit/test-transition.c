/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "life-fixture.h"

/* A verb whose commit fails changes nothing. */

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
