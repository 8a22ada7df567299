/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "life-fixture.h"
#include "nvme-keyd/manager/limits.h"

/* Ends of lifetimes: when they are reported, and of which keys. */

#define MINUTE_USEC (60 * USEC_PER_SEC)

/* Adds a key of a subsystem of its own. lifetime_usec: 0 for none. Returns NULL if it is refused.
 */
static Key *add(Fixture *f, const char *name, uint8_t seed, uint64_t lifetime_usec)
{
    _cleanup_(secret_freep) Secret *psk = fixture_psk(seed);
    _cleanup_(freep) char *detail = NULL, *subsysnqn = NULL;
    KeyRequest q = {.hostnqn = HOST,
                    .role = KEY_ROLE_HOST,
                    .hash = PSK_HASH_SHA256,
                    .lifetime_usec = lifetime_usec,
                    .configured = psk};
    Key *k = NULL;

    if (asprintf(&subsysnqn, "nqn.2026-11.org.example:%s", name) < 0)
        return NULL;
    q.subsysnqn = subsysnqn;
    return fixture_try(f, &q, &k, &detail) == 0 ? k : NULL;
}

/* Sets the clock to a time of a key's life, counted from its end. */
static void pass(const Key *k, int64_t usec)
{
    life_set_clocks(0, 0, true);
    life_set_clocks(k->expires_usec + (uint64_t)usec - now_realtime(), 0, true);
}

/* The key that was taken if it is the only one, else NULL. */
static const Key *take_one(const Fixture *f)
{
    const Key *keys[2];

    return manager_take_expired(f->m, keys, 2) == 1 ? keys[0] : NULL;
}

static size_t take(const Fixture *f)
{
    const Key *keys[1];

    return manager_take_expired(f->m, keys, 1);
}

/* A new key is known at once, without another look at all of them. */
TEST(next)
{
    const Key *late, *early;
    LIFE;

    ASSERT_TRUE(add(&f, "none", 1, 0));
    ASSERT_EQ(manager_expiry(f.m), 0);
    late = add(&f, "late", 2, 9 * DAY_USEC);
    ASSERT_TRUE(late);
    ASSERT_EQ(manager_expiry(f.m), late->expires_usec + EXPIRY_GROUP_USEC);
    early = add(&f, "early", 3, DAY_USEC);
    ASSERT_TRUE(early);
    ASSERT_EQ(manager_expiry(f.m), early->expires_usec + EXPIRY_GROUP_USEC);
    ASSERT_TRUE(add(&f, "last", 4, 20 * DAY_USEC));
    ASSERT_EQ(manager_expiry(f.m), early->expires_usec + EXPIRY_GROUP_USEC);
}

/* Each end is reported once in a run. */
TEST(once)
{
    const Key *early, *late;
    LIFE;

    early = add(&f, "early", 1, DAY_USEC);
    late = add(&f, "late", 2, 9 * DAY_USEC);
    ASSERT_TRUE(early && late);
    pass(early, -(int64_t)MINUTE_USEC);
    ASSERT_TRUE(!manager_has_expired(f.m, early));
    ASSERT_EQ(take(&f), 0);
    pass(early, MINUTE_USEC);
    ASSERT_TRUE(manager_has_expired(f.m, early) && !manager_has_expired(f.m, late));
    ASSERT_EQ(take_one(&f), early);
    ASSERT_EQ(take(&f), 0);
    ASSERT_TRUE(manager_has_expired(f.m, early));
    ASSERT_EQ(manager_expiry(f.m), late->expires_usec + EXPIRY_GROUP_USEC);
    pass(late, MINUTE_USEC);
    ASSERT_EQ(take_one(&f), late);
    ASSERT_EQ(manager_expiry(f.m), 0);
}

/* Those that end together are counted together, and only as many are returned as there is room for.
 */
TEST(together)
{
    const Key *keys[2] = {NULL, NULL};
    LIFE;

    for (uint8_t i = 0; i < 3; i++)
        ASSERT_TRUE(add(&f, (const char *[]){"a", "b", "c"}[i], i, DAY_USEC));
    ASSERT_TRUE(add(&f, "last", 9, 9 * DAY_USEC));
    life_set_clocks(DAY_USEC + MINUTE_USEC, 0, true);
    ASSERT_EQ(manager_take_expired(f.m, keys, 1), 3);
    ASSERT_TRUE(keys[0] && !keys[1]);
    ASSERT_EQ(take(&f), 0);
}

/* MaxAgeSec= is for keys without a lifetime of their own. */
TEST(max_age)
{
    const Key *plain, *own;
    LIFE;

    plain = add(&f, "plain", 1, 0);
    own = add(&f, "own", 2, 9 * DAY_USEC);
    ASSERT_TRUE(plain && own);
    f.config.max_age_usec = DAY_USEC;
    manager_set_config(f.m, &f.config);
    ASSERT_EQ(manager_expiry(f.m), plain->created_usec + DAY_USEC + EXPIRY_GROUP_USEC);
    life_set_clocks(DAY_USEC + MINUTE_USEC, 0, true);
    ASSERT_EQ(take_one(&f), plain);
    ASSERT_EQ(manager_expiry(f.m), own->expires_usec + EXPIRY_GROUP_USEC);
    f.config.max_age_usec = UINT64_MAX;
    manager_set_config(f.m, &f.config);
    ASSERT_TRUE(!manager_has_expired(f.m, plain));
}

/* The next instance reads the lifetimes from the store, and reports them again. */
TEST(restart)
{
    char id[KEY_ID_SIZE];
    const Key *k;
    LIFE;

    k = add(&f, "a", 1, DAY_USEC);
    ASSERT_TRUE(k);
    strcpy(id, k->id);
    pass(k, MINUTE_USEC);
    ASSERT_EQ(take(&f), 1);
    ASSERT_TRUE(life_restart(&f));
    k = life_find(&f, id);
    ASSERT_TRUE(k);
    ASSERT_EQ(manager_expiry(f.m), k->expires_usec + EXPIRY_GROUP_USEC);
    ASSERT_EQ(take_one(&f), k);
}

/* A successor has the lifetime of the key, from now on. The end of a key on its way out is no news,
 * but it is again once the key is active again. */
TEST(successor)
{
    char next[KEY_ID_SIZE], back[KEY_ID_SIZE];
    Key *old;
    LIFE;

    old = add(&f, "a", 1, 2 * DAY_USEC);
    ASSERT_TRUE(old);
    life_set_clocks(DAY_USEC, 0, true);
    ASSERT_OK(life_stage(&f, old->id, 2, next));
    ASSERT_EQ(life_state(&f, next), KEY_PENDING);
    ASSERT_OK(life_activate(&f, next));
    ASSERT_EQ(old->state, KEY_RETIRING);
    pass(old, MINUTE_USEC);
    ASSERT_TRUE(!manager_has_expired(f.m, old));
    ASSERT_EQ(take(&f), 0);
    ASSERT_EQ(manager_expiry(f.m), life_find(&f, next)->expires_usec + EXPIRY_GROUP_USEC);
    ASSERT_OK(life_revert(&f, next, back));
    ASSERT_TRUE(strcmp(back, old->id) == 0 && manager_has_expired(f.m, old));
    ASSERT_EQ(manager_expiry(f.m), old->expires_usec + EXPIRY_GROUP_USEC);
    ASSERT_EQ(take_one(&f), old);
}

/* A pending key gets old as well, and a revoked one does not. */
TEST(states)
{
    char next[KEY_ID_SIZE];
    const Key *old, *pending;
    LIFE;

    old = add(&f, "a", 1, DAY_USEC);
    ASSERT_TRUE(old);
    ASSERT_OK(life_stage(&f, old->id, 2, next));
    pending = life_find(&f, next);
    ASSERT_OK(life_revoke(&f, old->id, true));
    pass(pending, MINUTE_USEC);
    ASSERT_TRUE(!manager_has_expired(f.m, old) && manager_has_expired(f.m, pending));
    ASSERT_EQ(take_one(&f), pending);
}
