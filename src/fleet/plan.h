/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * The plan of a rotation: which pairs are where, and which may go next. It keeps nothing that is
 * not in the place, so another machine can take it up at any moment: pairs older than the start of
 * the rotation are left to do. Pure functions; each step looks at the pairs that are under way, and
 * not at all pairs.
 */

/* The state of a pair in the newest report of a machine. */
typedef enum PlanReport {
    PLAN_SILENT,
    PLAN_PENDING,
    PLAN_ACTIVE,
    PLAN_REFUSED,
} PlanReport;

/* One end of a pair. */
typedef struct PlanEnd {
    bool exists; /* false for a revoked machine */
    bool offline;
    uint64_t generation; /* that the report is about */
    PlanReport report;
} PlanEnd;

typedef struct PlanPair {
    uint64_t generation; /* the newest that was issued */
    bool ended;          /* by a tombstone */
    bool undelivered;    /* its envelope is missing in the place */
    bool selected;       /* for this rotation */
    PlanEnd host, target;
} PlanPair;

typedef enum PlanState {
    PLAN_WAITING_TARGET,
    PLAN_WAITING_HOST,
    PLAN_DONE,
    PLAN_ENDED,
    PLAN_FAILED,
    PLAN_OFFLINE, /* waits for a machine that is out of reach */
    PLAN_STATES,
} PlanState;

/* "waiting for target", ... */
const char *plan_state_to_string(PlanState state);

/* Where a pair is. A report of a newer generation than was issued is a failure, because the place
 * has been put back; so is a pair of a revoked machine that has not ended. */
PlanState plan_state(const PlanPair *p);

/* The end that has failed, or NULL. */
const PlanEnd *plan_failed_end(const PlanPair *p);

typedef struct PlanLimits {
    size_t max_in_flight;   /* pairs, 1 at least */
    size_t max_failures;    /* one more stops the rotation */
    uint64_t patience_usec; /* a pair that takes longer has failed */
} PlanLimits;

typedef enum PlanVerdict {
    PLAN_GO_ON, /* plan_take() has a pair, or will have one */
    PLAN_FINISHED,
    PLAN_STOPPED, /* by failures; pairs may be under way */
} PlanVerdict;

typedef struct Plan {
    const PlanPair *pairs; /* borrowed; the caller keeps them up to date */
    PlanLimits limits;
    uint64_t began_usec;
    size_t *left, n_left, next; /* pairs to start, and how many of them have been */
    size_t *in_flight, n_in_flight;
    size_t total, failed, late, offline;
} Plan;

/* Begins or resumes the rotation that was started at since_usec, at now_usec, of the selected pairs
 * among n. Linear in n. Returns -ENOMEM. */
int plan_begin(const PlanPair *pairs, size_t n, uint64_t since_usec, uint64_t now_usec,
               const PlanLimits *limits, Plan *ret) _must_check_;
void plan_done(const Plan *plan);

/* Takes pairs that are done, failed, late or offline out of those in flight. */
PlanVerdict plan_settle(Plan *plan, uint64_t now_usec);

/* The next pair to rotate, which is in flight then. Returns false while the limits have no room, or
 * if none is left. */
bool plan_take(Plan *plan, size_t *ret_index);
/* The pair that was taken last has no new PSK: it has failed. */
void plan_drop(Plan *plan);
