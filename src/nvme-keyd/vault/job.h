/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * One slow piece of work in a child process: this program, executed again, with nothing but a
 * request for seal_work() on a pipe. So libraries that wait for a TPM neither hold the event loop
 * nor outlive their deadline, leave nothing in the daemon's memory, and see nothing of it.
 */
typedef struct Job Job;

/* With what the work returned, or with -ETIMEDOUT, or -ECHILD when the child came to no end of its
 * own. output is NULL where error is below 0 or there is none, detail may be NULL. May free this
 * job and start another. */
typedef void (*JobDone)(int error, const Secret *output, const char *detail, void *userdata);

#define JOB_OUTPUT_MAX ((size_t)32 * 1024)

/* Starts it; done is called once, from the event loop, which reaps the child, so SIGCHLD has to be
 * blocked. request is copied. Returns -ENOMEM, -E2BIG, or an error of pipe2(2) or posix_spawn(3).
 */
int job_start(sd_event *event, uint64_t limit_usec, const Secret *request, JobDone done,
              void *userdata, Job **ret) _must_check_;

/* Kills the child if it still works; then done is not called. Accepts NULL; returns NULL. */
Job *job_free(Job *j);
DEFINE_CLEANUP(Job, job_free)

/* The option with which a program is such a child. Its main() calls job_helper_main() then. */
#define JOB_HELPER_OPTION "--seal-helper"
/* Reads a request from standard input and writes the result to standard output. Returns what main()
 * returns. */
int job_helper_main(void);
