/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyd/vault/job.h"
#include "test.h"

typedef struct Fixture {
    sd_event *event;
    int done;
    int error;
    char output[64];
    char detail[64];
    int touched;
} Fixture;

/* A loop that learns of its children, as the daemon's does. */
static int fixture_new(Fixture *f)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : sd_event_new(&f->event);
}

static void fixture_done(Fixture *f)
{
    sd_event_unref(f->event);
}

static void on_done(int error, const Secret *output, const char *detail, void *userdata)
{
    Fixture *f = userdata;

    f->done++;
    f->error = error;
    if (output && output->size < sizeof(f->output))
        memcpy(f->output, output->data, output->size);
    snprintf(f->detail, sizeof(f->detail), "%s", detail ? detail : "");
}

static int work_well(const void *userdata, Secret **ret, char **reterr_detail)
{
    ((Fixture *)(uintptr_t)userdata)->touched = 1;
    (void)reterr_detail;
    *ret = secret_new_copy("result", 6);
    return 0;
}

static int work_in_vain(const void *userdata, Secret **ret, char **reterr_detail)
{
    (void)userdata;
    (void)ret;
    *reterr_detail = strdup("no luck");
    return -EKEYREJECTED;
}

static int work_for_ever(const void *userdata, Secret **ret, char **reterr_detail)
{
    (void)userdata;
    (void)ret;
    (void)reterr_detail;
    while (pause() < 0)
        ;
    return 0;
}

static int work_to_death(const void *userdata, Secret **ret, char **reterr_detail)
{
    (void)userdata;
    (void)ret;
    (void)reterr_detail;
    kill(getpid(), SIGKILL);
    return 0;
}

static int work_too_much(const void *userdata, Secret **ret, char **reterr_detail)
{
    (void)userdata;
    (void)reterr_detail;
    *ret = secret_new(JOB_OUTPUT_MAX + 1);
    return 0;
}

/* Runs the loop until the job is done, for a minute at most. */
static void run(Fixture *f)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (!f->done && now_monotonic() < end)
        (void)sd_event_run(f->event, USEC_PER_SEC);
}

/* Runs the loop until no process is left of any job. */
static bool all_reaped(Fixture *f)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;
    siginfo_t si;

    while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0) {
        if (now_monotonic() > end || sd_event_run(f->event, USEC_PER_SEC / 10) < 0)
            return false;
    }
    return errno == ECHILD;
}

static void try(Fixture *f, uint64_t limit_usec, JobWork work)
{
    _cleanup_(job_freep) Job *j = NULL;

    f->done = 0;
    f->error = job_start(f->event, limit_usec, work, on_done, f, &j);
    if (f->error == 0)
        run(f);
}

TEST(results)
{
    _cleanup_(fixture_done) Fixture f = {};

    ASSERT_TRUE(fixture_new(&f) >= 0);
    try(&f, 60 * USEC_PER_SEC, work_well);
    ASSERT_EQ(f.done, 1);
    ASSERT_OK(f.error);
    ASSERT_STR(f.output, "result");
    /* It was another process. */
    ASSERT_EQ(f.touched, 0);
    try(&f, 60 * USEC_PER_SEC, work_in_vain);
    ASSERT_EQ(f.error, -EKEYREJECTED);
    ASSERT_STR(f.detail, "no luck");
    try(&f, 60 * USEC_PER_SEC, work_too_much);
    ASSERT_EQ(f.error, -E2BIG);
    ASSERT_TRUE(all_reaped(&f));
}

TEST(it_does_not_come_back)
{
    _cleanup_(fixture_done) Fixture f = {};
    _cleanup_(job_freep) Job *j = NULL;

    ASSERT_TRUE(fixture_new(&f) >= 0);
    try(&f, USEC_PER_SEC / 10, work_for_ever);
    ASSERT_EQ(f.done, 1);
    ASSERT_EQ(f.error, -ETIMEDOUT);
    try(&f, 60 * USEC_PER_SEC, work_to_death);
    ASSERT_EQ(f.done, 1);
    ASSERT_EQ(f.error, -ECHILD);

    /* Who goes does not wait for it. */
    f.done = 0;
    ASSERT_OK(job_start(f.event, USEC_PER_SEC, work_for_ever, on_done, &f, &j));
    j = job_free(j);
    ASSERT_TRUE(sd_event_run(f.event, USEC_PER_SEC) >= 0);
    ASSERT_EQ(f.done, 0);

    ASSERT_TRUE(all_reaped(&f));
}

TEST(without_a_loop)
{
    Fixture f = {};
    Job *j = NULL;

    ASSERT_OK(job_start(NULL, 0, work_well, on_done, &f, &j));
    ASSERT_TRUE(!j);
    ASSERT_EQ(f.done, 1);
    ASSERT_EQ(f.touched, 1);
    ASSERT_STR(f.output, "result");
}
