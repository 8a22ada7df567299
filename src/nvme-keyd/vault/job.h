/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * One slow piece of work in a child process, a fork of this one: it sees all that there is in
 * memory, and what it changes is lost but for its result. So libraries that wait for a TPM neither
 * hold the event loop nor outlive their deadline, nor leave anything in the daemon's memory.
 */
typedef struct Job Job;

/* In the child: works on userdata. *ret_output is at most JOB_OUTPUT_MAX bytes. */
typedef int (*JobWork)(const void *userdata, Secret **ret_output, char **reterr_detail);

/* In the parent, once: with what the work returned, or with -ETIMEDOUT, or -ECHILD when the child
 * came to no end of its own. output is NULL where error is below 0, detail may be NULL. May free
 * this job and start another. */
typedef void (*JobDone)(int error, const Secret *output, const char *detail, void *userdata);

#define JOB_OUTPUT_MAX ((size_t)32 * 1024)

/* Starts it. The loop reaps the child, so SIGCHLD has to be blocked. Without an event loop all is
 * done before this returns, in this process. Returns -ENOMEM, or an error of pipe2(2) or fork(2).
 */
int job_start(sd_event *event, uint64_t limit_usec, JobWork work, JobDone done, void *userdata,
              Job **ret) _must_check_;

/* Kills the child if it still works; then done is not called. Accepts NULL; returns NULL. */
Job *job_free(Job *j);
DEFINE_CLEANUP(Job, job_free)
