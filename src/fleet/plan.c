/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "fleet/plan.h"

const char *plan_state_to_string(PlanState state)
{
    static const char *const words[PLAN_STATES] = {
        [PLAN_WAITING_TARGET] = "waiting for target",
        [PLAN_WAITING_HOST] = "waiting for host",
        [PLAN_DONE] = "done",
        [PLAN_ENDED] = "ended",
        [PLAN_FAILED] = "failed",
        [PLAN_OFFLINE] = "offline",
    };

    return words[state];
}

static bool has_failed(const PlanPair *p, const PlanEnd *end)
{
    if (!end->exists)
        return !p->ended;
    return end->generation > p->generation ||
           (end->generation == p->generation && end->report == PLAN_REFUSED);
}

const PlanEnd *plan_failed_end(const PlanPair *p)
{
    return has_failed(p, &p->target) ? &p->target : has_failed(p, &p->host) ? &p->host : NULL;
}

static bool is_waiting(const PlanPair *p, const PlanEnd *end)
{
    return end->exists && (end->generation < p->generation || end->report != PLAN_ACTIVE);
}

PlanState plan_state(const PlanPair *p)
{
    if (plan_failed_end(p))
        return PLAN_FAILED;
    if (is_waiting(p, &p->target))
        return p->target.offline ? PLAN_OFFLINE : PLAN_WAITING_TARGET;
    if (is_waiting(p, &p->host))
        return p->host.offline ? PLAN_OFFLINE : PLAN_WAITING_HOST;
    return p->ended ? PLAN_ENDED : PLAN_DONE;
}

/* A pair that has failed since the start gets another try: the rotation was begun again for it. */
static bool is_left(const PlanPair *p, uint64_t since_usec)
{
    return p->generation < since_usec || p->undelivered || plan_state(p) == PLAN_FAILED;
}

int plan_begin(const PlanPair *pairs, size_t n, uint64_t since_usec, uint64_t now_usec,
               const PlanLimits *limits, Plan *ret)
{
    Plan plan = {.pairs = pairs, .limits = *limits, .began_usec = now_usec};

    plan.left = calloc(n + 1, sizeof(*plan.left));
    plan.in_flight = calloc(n + 1, sizeof(*plan.in_flight));
    if (!plan.left || !plan.in_flight) {
        plan_done(&plan);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if (!pairs[i].selected || pairs[i].ended)
            continue;
        plan.total++;
        if (is_left(&pairs[i], since_usec))
            plan.left[plan.n_left++] = i;
        else
            plan.in_flight[plan.n_in_flight++] = i;
    }
    *ret = plan;
    return 0;
}

void plan_done(const Plan *plan)
{
    free(plan->left);
    free(plan->in_flight);
}

/* The patience begins with the pair, or with us, if we found it on its way. */
static bool is_late(const Plan *plan, const PlanPair *p, uint64_t now_usec)
{
    uint64_t began = CONST_MAX(p->generation, plan->began_usec);

    return now_usec > began && now_usec - began > plan->limits.patience_usec;
}

/* Counts the pair and returns false, or leaves it in flight. */
static bool stays_in_flight(Plan *plan, const PlanPair *p, uint64_t now_usec)
{
    switch (plan_state(p)) {
    case PLAN_WAITING_TARGET:
    case PLAN_WAITING_HOST:
        if (!is_late(plan, p, now_usec))
            return true;
        plan->late++;
        return false;
    case PLAN_FAILED:
        plan->failed++;
        return false;
    case PLAN_OFFLINE:
        /* Its envelope waits in the place, and the other pairs do not wait for it. */
        plan->offline++;
        return false;
    default:
        return false;
    }
}

PlanVerdict plan_settle(Plan *plan, uint64_t now_usec)
{
    size_t kept = 0;

    for (size_t i = 0; i < plan->n_in_flight; i++)
        if (stays_in_flight(plan, &plan->pairs[plan->in_flight[i]], now_usec))
            plan->in_flight[kept++] = plan->in_flight[i];
    plan->n_in_flight = kept;
    if (plan->failed + plan->late > plan->limits.max_failures)
        return PLAN_STOPPED;
    return plan->n_in_flight == 0 && plan->next == plan->n_left ? PLAN_FINISHED : PLAN_GO_ON;
}

bool plan_take(Plan *plan, size_t *ret_index)
{
    if (plan->n_in_flight >= plan->limits.max_in_flight || plan->next == plan->n_left)
        return false;
    *ret_index = plan->left[plan->next++];
    plan->in_flight[plan->n_in_flight++] = *ret_index;
    return true;
}

void plan_drop(Plan *plan)
{
    plan->n_in_flight--;
    plan->failed++;
}
