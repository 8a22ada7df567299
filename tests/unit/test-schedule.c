/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "life-fixture.h"
#include "nvme-keyd/manager/rotation.h"

/* Rotations on a schedule: which keys are due, and what becomes of them. */

#define AGE (90 * DAY_USEC)

static int schedule(const Fixture *f, const char *id, uint64_t usec)
{
    _cleanup_(freep) char *detail = NULL;

    return manager_schedule(f->m, id, usec, &detail);
}

static bool is_due(const Fixture *f, const char *id)
{
    const Key *k = life_find(f, id);

    return k && manager_is_due(f->m, k);
}

static int rotate(Fixture *f, const char *id, char ret[static KEY_ID_SIZE])
{
    Rotation q = {.scheduled = true};

    return life_rotate(f, id, &q, 9, ret);
}

/* A target is due by its age, in this run and the next. */
TEST(age)
{
    char id[KEY_ID_SIZE], other[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    life_set_clocks(1000 * DAY_USEC, 0, true);
    ASSERT_TRUE(!is_due(&f, id));
    ASSERT_EQ(rotate(&f, id, other), -EBUSY);
    life_set_clocks(0, 0, true);
    ASSERT_OK(schedule(&f, id, AGE));
    ASSERT_TRUE(life_restart(&f));
    life_set_clocks(AGE - 60 * USEC_PER_SEC, 0, true);
    ASSERT_TRUE(!is_due(&f, id));
    life_set_clocks(AGE + 60 * USEC_PER_SEC, 0, true);
    ASSERT_TRUE(is_due(&f, id));
    ASSERT_OK(schedule(&f, id, 0));
    ASSERT_TRUE(!is_due(&f, id));
}

/* What could not be written has not changed. */
TEST(store_fails)
{
    char id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    commits_fail = true;
    ASSERT_TRUE(schedule(&f, id, AGE) < 0);
    commits_fail = false;
    ASSERT_EQ(life_find(&f, id)->rotate_usec, 0);
}

/* A host waits for its target. */
TEST(host)
{
    char id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_HOST, 1, id));
    ASSERT_EQ(schedule(&f, id, AGE), -EINVAL);
    /* A record that another program has made is no reason either. */
    life_find(&f, id)->rotate_usec = AGE;
    life_set_clocks(2 * AGE, 0, true);
    ASSERT_TRUE(!is_due(&f, id));
}

/* The target accepts both keys until a person ends it, and makes no third one. */
TEST(target)
{
    char id[KEY_ID_SIZE], next[KEY_ID_SIZE], third[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_OK(schedule(&f, id, AGE));
    life_set_clocks(2 * AGE, 0, true);
    ASSERT_OK(rotate(&f, id, next));
    ASSERT_EQ(life_state(&f, id), KEY_ACTIVE);
    ASSERT_EQ(life_state(&f, next), KEY_PENDING);
    ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, next));
    ASSERT_TRUE(life_find(&f, id)->serials[0]);
    ASSERT_EQ(life_find(&f, next)->rotate_usec, AGE);
    ASSERT_TRUE(!life_find(&f, next)->follow && manager_deadline(f.m) == 0);
    life_set_clocks(9 * AGE, 9 * AGE, true);
    ASSERT_TRUE(life_sync(&f) && life_restart(&f));
    ASSERT_TRUE(!is_due(&f, id) && !is_due(&f, next));
    ASSERT_EQ(rotate(&f, id, third), -EBUSY);
    ASSERT_TRUE(life_in_ring(&f, id) && life_in_ring(&f, next));
    /* Nor while the overlap lasts. */
    ASSERT_OK(life_activate(&f, next));
    ASSERT_EQ(life_state(&f, id), KEY_RETIRING);
    ASSERT_TRUE(!is_due(&f, next));
    life_set_clocks(11 * AGE, 11 * AGE, true);
    ASSERT_TRUE(life_sync(&f));
    ASSERT_EQ(life_state(&f, id), KEY_GONE);
    ASSERT_TRUE(is_due(&f, next));
}

/* A machine that is both offers the new key when its target has accepted it. */
TEST(both)
{
    char id[KEY_ID_SIZE], next[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_BOTH, 1, id));
    ASSERT_OK(schedule(&f, id, AGE));
    life_set_clocks(2 * AGE, 0, true);
    ASSERT_OK(rotate(&f, id, next));
    ASSERT_EQ(life_state(&f, next), KEY_PENDING);
    ASSERT_TRUE(life_find(&f, next)->follow);
    ASSERT_TRUE(life_in_ring(&f, id) && !life_in_ring(&f, next));
}

/* A key that a person has other plans with is left alone. */
TEST(planned)
{
    char id[KEY_ID_SIZE];
    LIFE;

    ASSERT_TRUE(life_add(&f, KEY_ROLE_TARGET, 1, id));
    ASSERT_OK(schedule(&f, id, AGE));
    life_set_clocks(2 * AGE, 0, true);
    ASSERT_OK(life_plan(&f, id, KEY_STEP_RETIRE, now_realtime() + DAY_USEC));
    ASSERT_TRUE(!is_due(&f, id));
    ASSERT_OK(life_plan(&f, id, KEY_STEP_NONE, 0));
    ASSERT_TRUE(is_due(&f, id));
    ASSERT_OK(life_retire(&f, id, false));
    ASSERT_TRUE(!is_due(&f, id));
    ASSERT_EQ(schedule(&f, id, AGE), -EBUSY);
}
