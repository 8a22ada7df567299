/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fleet/limits.h"
#include "fleet/plan.h"
#include "fleet/statement.h"

/* A machine's report about one of its pairs. It is not signed, so it only hints when to go on, and
 * informs people. */
typedef struct FleetReport {
    char id[FLEET_ID_SIZE];
    uint64_t generation;
    PlanReport state;
    char reason[REASON_MAX + 1];
} FleetReport;

/* Reads the status of a machine, for the caller to free. Returns -EBADMSG, -ENOMEM. */
int fleet_reports_parse(const char *text, size_t size, FleetReport **ret, size_t *ret_n)
    _must_check_;
