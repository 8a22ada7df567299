/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvme-keyd/guard/backoff.h"
#include "test.h"

#define START (1000 * USEC_PER_SEC)

/* Notes n rounds, so long apart. Returns how many of them began a fight. */
static unsigned rounds(Backoff *b, unsigned n, uint64_t *now, uint64_t apart)
{
    unsigned begun = 0;

    for (unsigned i = 0; i < n; i++) {
        begun += backoff_note(b, *now);
        *now += apart;
    }
    return begun;
}

/* Accidents, however many, are put back at once. */
TEST(accidents)
{
    Backoff b = {.pause_usec = 0};
    uint64_t now = START;

    ASSERT_EQ(rounds(&b, GUARD_ROUNDS, &now, GUARD_LOOK_USEC), 0);
    ASSERT_EQ(backoff_pause(&b), GUARD_LOOK_USEC);
    b = (Backoff){.pause_usec = 0};
    ASSERT_EQ(rounds(&b, 100, &now, GUARD_ROUNDS_USEC / GUARD_ROUNDS + 1), 0);
    ASSERT_EQ(backoff_pause(&b), GUARD_LOOK_USEC);
}

/* A fight begins once, and each round of it doubles the pause up to its limit. */
TEST(fight)
{
    Backoff b = {.pause_usec = 0};
    uint64_t now = START;

    ASSERT_EQ(rounds(&b, GUARD_ROUNDS, &now, GUARD_LOOK_USEC), 0);
    ASSERT_EQ(rounds(&b, 1, &now, GUARD_LOOK_USEC), 1);
    ASSERT_EQ(backoff_pause(&b), 2 * GUARD_LOOK_USEC);
    ASSERT_EQ(rounds(&b, 1, &now, backoff_pause(&b)), 0);
    ASSERT_EQ(backoff_pause(&b), 4 * GUARD_LOOK_USEC);
    /* From here on there are fewer in a minute, and it is the same fight. */
    for (int i = 0; i < 20; i++) {
        ASSERT_TRUE(!backoff_note(&b, now));
        ASSERT_TRUE(!backoff_rest(&b, now + backoff_pause(&b)));
        now += 2 * backoff_pause(&b);
    }
    ASSERT_EQ(backoff_pause(&b), GUARD_PAUSE_MAX_USEC);
}

/* A quiet time ends it, once, and then everything is as at the start. */
TEST(quiet)
{
    Backoff b = {.pause_usec = 0};
    uint64_t now = START, last;

    ASSERT_TRUE(!backoff_rest(&b, now));
    ASSERT_EQ(rounds(&b, GUARD_ROUNDS + 1, &now, GUARD_LOOK_USEC), 1);
    last = now - GUARD_LOOK_USEC;
    ASSERT_TRUE(!backoff_rest(&b, last + GUARD_QUIET_USEC - 1));
    ASSERT_EQ(backoff_pause(&b), 2 * GUARD_LOOK_USEC);
    ASSERT_TRUE(backoff_rest(&b, last + GUARD_QUIET_USEC));
    ASSERT_EQ(backoff_pause(&b), GUARD_LOOK_USEC);
    ASSERT_TRUE(!backoff_rest(&b, last + 2 * GUARD_QUIET_USEC));
    now = last + GUARD_QUIET_USEC;
    ASSERT_EQ(rounds(&b, GUARD_ROUNDS, &now, 1), 0);
}
