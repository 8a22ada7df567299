/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "basic/io.h"
#include "fleet/plan.h"
#include "test.h"

#define SINCE 1000
#define NOW 2000
#define PAIRS_MAX 10000

static const PlanLimits limits = {.max_in_flight = 3, .max_failures = 0, .patience_usec = 100};

/* A pair of two machines that use its newest PSK. */
static PlanPair done_pair(uint64_t generation)
{
    const PlanEnd end = {.exists = true, .generation = generation, .report = PLAN_ACTIVE};

    return (PlanPair){.generation = generation, .selected = true, .host = end, .target = end};
}

static void report(PlanEnd *end, uint64_t generation, PlanReport state)
{
    end->generation = generation;
    end->report = state;
}

TEST(states)
{
    PlanPair p = done_pair(5);

    ASSERT_EQ(plan_state(&p), PLAN_DONE);
    p.generation = 6;
    ASSERT_EQ(plan_state(&p), PLAN_WAITING_TARGET);
    report(&p.target, 6, PLAN_PENDING);
    ASSERT_EQ(plan_state(&p), PLAN_WAITING_TARGET);
    report(&p.target, 6, PLAN_ACTIVE);
    ASSERT_EQ(plan_state(&p), PLAN_WAITING_HOST);
    report(&p.host, 6, PLAN_PENDING);
    ASSERT_EQ(plan_state(&p), PLAN_WAITING_HOST);
    p.host.offline = true;
    ASSERT_EQ(plan_state(&p), PLAN_OFFLINE);
    report(&p.host, 6, PLAN_ACTIVE);
    ASSERT_EQ(plan_state(&p), PLAN_DONE);
    p.ended = true;
    ASSERT_EQ(plan_state(&p), PLAN_ENDED);
    ASSERT_STR(plan_state_to_string(PLAN_WAITING_TARGET), "waiting for target");
}

TEST(failures)
{
    PlanPair p = done_pair(5);

    report(&p.host, 4, PLAN_REFUSED);
    ASSERT_EQ(plan_state(&p), PLAN_WAITING_HOST);
    report(&p.host, 5, PLAN_REFUSED);
    ASSERT_EQ(plan_state(&p), PLAN_FAILED);
    ASSERT_TRUE(plan_failed_end(&p) == &p.host);
    report(&p.host, 5, PLAN_ACTIVE);
    /* The place has been put back. */
    report(&p.target, 6, PLAN_ACTIVE);
    ASSERT_EQ(plan_state(&p), PLAN_FAILED);
    ASSERT_TRUE(plan_failed_end(&p) == &p.target);
    report(&p.target, 5, PLAN_ACTIVE);
    /* A revoked machine has no part in a pair, unless that has ended. */
    p.host.exists = false;
    ASSERT_EQ(plan_state(&p), PLAN_FAILED);
    p.ended = true;
    ASSERT_EQ(plan_state(&p), PLAN_ENDED);
}

/* Starts all that the limits allow. Returns how many. */
static size_t start(Plan *plan, PlanPair *pairs, uint64_t now)
{
    size_t n = 0, i;

    while (plan_take(plan, &i)) {
        pairs[i].generation = now;
        n++;
    }
    return n;
}

static void finish(PlanPair *pairs, size_t from, size_t to, uint64_t generation)
{
    for (size_t i = from; i < to; i++)
        pairs[i] = done_pair(generation);
}

TEST(waves)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    PlanPair pairs[8];

    finish(pairs, 0, 8, 1);
    pairs[2].selected = false;
    pairs[3].ended = true;
    ASSERT_OK(plan_begin(pairs, 8, SINCE, NOW, &limits, &plan));
    ASSERT_EQ(plan.total, 6);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(start(&plan, pairs, NOW), 3);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(start(&plan, pairs, NOW), 0);
    finish(pairs, 0, 2, NOW);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(plan.n_in_flight, 1);
    ASSERT_EQ(start(&plan, pairs, NOW), 2);
    ASSERT_EQ(pairs[2].generation, 1);
    ASSERT_EQ(pairs[3].generation, 1);
    finish(pairs, 4, 7, NOW);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(start(&plan, pairs, NOW), 1);
    finish(pairs, 7, 8, NOW);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_FINISHED);
}

TEST(resume)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    PlanPair pairs[6];

    /* Done, on its way, failed, without its envelope, and two that were not begun. */
    finish(pairs, 0, 4, SINCE + 1);
    finish(pairs, 4, 6, 1);
    report(&pairs[1].host, 1, PLAN_ACTIVE);
    report(&pairs[2].host, SINCE + 1, PLAN_REFUSED);
    pairs[3].undelivered = true;
    ASSERT_OK(plan_begin(pairs, 6, SINCE, NOW, &limits, &plan));
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(plan.n_in_flight, 1);
    ASSERT_EQ(plan.n_left, 4);
    ASSERT_EQ(start(&plan, pairs, NOW), 2);
    ASSERT_EQ(pairs[2].generation, NOW);
    ASSERT_EQ(pairs[3].generation, NOW);
}

TEST(stop_after_failures)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    PlanLimits some = {.max_in_flight = 4, .max_failures = 1, .patience_usec = 100};
    PlanPair pairs[8];

    finish(pairs, 0, 8, 1);
    ASSERT_OK(plan_begin(pairs, 8, SINCE, NOW, &some, &plan));
    ASSERT_EQ(start(&plan, pairs, NOW), 4);
    report(&pairs[0].target, NOW, PLAN_REFUSED);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(plan.failed, 1);
    /* The rest is late. */
    ASSERT_EQ(plan_settle(&plan, NOW + 100), PLAN_GO_ON);
    ASSERT_EQ(plan_settle(&plan, NOW + 101), PLAN_STOPPED);
    ASSERT_EQ(plan.late, 3);
}

TEST(drop)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    PlanPair pairs[2];
    size_t i;

    finish(pairs, 0, 2, 1);
    ASSERT_OK(plan_begin(pairs, 2, SINCE, NOW, &limits, &plan));
    ASSERT_TRUE(plan_take(&plan, &i));
    plan_drop(&plan);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_STOPPED);
}

TEST(offline_machines_hold_nobody_up)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    PlanPair pairs[4];

    finish(pairs, 0, 4, 1);
    for (size_t i = 0; i < 3; i++)
        pairs[i].host.offline = pairs[i].target.offline = true;
    ASSERT_OK(plan_begin(pairs, 4, SINCE, NOW, &limits, &plan));
    ASSERT_EQ(start(&plan, pairs, NOW), 3);
    ASSERT_EQ(plan_settle(&plan, NOW), PLAN_GO_ON);
    ASSERT_EQ(plan.offline, 3);
    ASSERT_EQ(start(&plan, pairs, NOW), 1);
}

/* Runs a rotation of n pairs, and returns the microseconds. *ret_most: in flight at once. */
static uint64_t rotate(PlanPair *pairs, size_t n, size_t *ret_most)
{
    _cleanup_(plan_done) Plan plan = {.left = NULL};
    uint64_t began = now_monotonic();
    size_t i;

    finish(pairs, 0, n, 1);
    *ret_most = 0;
    if (plan_begin(pairs, n, SINCE, NOW, &limits, &plan) < 0)
        return 0;
    while (plan_settle(&plan, NOW) == PLAN_GO_ON) {
        (void)start(&plan, pairs, NOW);
        *ret_most = CONST_MAX(*ret_most, plan.n_in_flight);
        /* The oldest becomes ready. */
        i = plan.in_flight[0];
        pairs[i] = done_pair(NOW);
    }
    return now_monotonic() - began;
}

TEST(ten_thousand_pairs)
{
    static PlanPair pairs[PAIRS_MAX];
    size_t most;
    uint64_t few = UINT64_MAX, many = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        few = CONST_MIN(few, rotate(pairs, PAIRS_MAX / 10, &most));
        many = CONST_MIN(many, rotate(pairs, PAIRS_MAX, &most));
        ASSERT_EQ(most, 3);
    }
    printf("# 1000 pairs: %llu us, 10000 pairs: %llu us\n", (unsigned long long)few,
           (unsigned long long)many);
    /* What is quadratic takes a hundred times as long. */
    ASSERT_TRUE(many < 40 * few + 1000);
}
