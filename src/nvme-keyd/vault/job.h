/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * One slow piece of work in a child process: this program, executed again, which inherits nothing
 * but a request for seal_work() on a pipe. So a library that waits for a TPM cannot block the event
 * loop or outlive its deadline, leaves nothing in the daemon's memory, and sees nothing of it.
 */
typedef struct Job Job;

/* Called with the result of seal_work(), or with -ETIMEDOUT, or -ECHILD when the child ended
 * without a result. output is NULL after an error, or if there is none; detail may be NULL. May
 * free this job and start another. */
typedef void (*JobDone)(int error, const Secret *output, const char *detail, void *userdata);

#define JOB_OUTPUT_MAX ((size_t)32 * 1024)

/* Starts a child; it is killed after limit_usec. done is called once, from the event loop, which
 * also reaps the child, so SIGCHLD must be blocked. request is copied. Returns -ENOMEM, -E2BIG, or
 * an error of pipe2(2) or posix_spawn(3). */
int job_start(sd_event *event, uint64_t limit_usec, const Secret *request, JobDone done,
              void *userdata, Job **ret) _must_check_;

/* Kills the child if it still runs; then done is not called. Accepts NULL; returns NULL. */
Job *job_free(Job *j);
DEFINE_CLEANUP(Job, job_free)

/* The option that makes the program such a child; its main() then calls job_helper_main(). */
#define JOB_HELPER_OPTION "--seal-helper"
/* Reads a request from standard input and writes the result to standard output. Returns the exit
 * status. */
int job_helper_main(void);
