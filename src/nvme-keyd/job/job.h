/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * One piece of work in a child process: this program, executed again, which inherits nothing but a
 * request on a pipe. So a library that waits for a TPM, or reads what an attacker has written,
 * cannot block the event loop or outlive its deadline, leaves nothing in the daemon's memory, and
 * sees nothing of it.
 */
typedef struct Job Job;

/* Called with the result of the work, or with -ETIMEDOUT, or -ECHILD when the child ended without a
 * result. error may be above 0, if the work says so. output is NULL after an error, or if there is
 * none; detail may be NULL. May free this job and start another. */
typedef void (*JobDone)(int error, const Secret *output, const char *detail, void *userdata);

/* With its size, the result takes 64 KiB of locked memory. */
#define JOB_OUTPUT_MAX ((size_t)56 * 1024)
#define JOB_SECRET_MAX ((size_t)48 * 1024)
/* What a user may make a pipe hold (/proc/sys/fs/pipe-max-size) is twice that. */
#define JOB_DATA_MAX ((size_t)512 * 1024 - JOB_SECRET_MAX - 64)

/* The work of the child. All is borrowed and constant. */
typedef struct JobKind {
    const char *option;           /* makes the program such a child; see job_helper_main() */
    const char *const *variables; /* of the environment, which the child gets; ends with NULL */
    uint64_t limit_usec;          /* the child is killed after it */
} JobKind;

/* Starts a child. done is called once, from the event loop, which also reaps the child, so SIGCHLD
 * must be blocked. secret, and data that is none, or NULL, are copied. Returns -ENOMEM, -E2BIG, or
 * an error of pipe2(2), fcntl(2) or posix_spawn(3). */
int job_start(sd_event *event, const JobKind *kind, const Secret *secret, const void *data,
              size_t size, JobDone done, void *userdata, Job **ret) _must_check_;

/* Kills the child if it still runs; then done is not called. Accepts NULL; returns NULL. */
Job *job_free(Job *j);
DEFINE_CLEANUP(Job, job_free)

/* The work in the child. */
typedef int (*JobWork)(const Secret *secret, const void *data, size_t size, Secret **ret_output,
                       char **reterr_detail);

/* For main() with the option of a kind: reads a request from standard input, and writes the result
 * to standard output. Returns the exit status. */
int job_helper_main(JobWork work);
