/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/job/job.h"

/* Jobs whose work is seal_work() (credstore/seal/helper.h). */

/* As job_start(), for a request that was packed by seal_request_pack(). */
int seal_job_start(sd_event *event, uint64_t limit_usec, const Secret *request, JobDone done,
                   void *userdata, Job **ret) _must_check_;

/* For main() with this option. Returns the exit status. */
#define SEAL_JOB_OPTION "--seal-helper"
int seal_job_main(void);
