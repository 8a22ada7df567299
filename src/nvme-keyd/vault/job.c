/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "nvme-keyd/vault/job.h"

#define DETAIL_MAX ((size_t)4096)

/* What comes over the pipe: this, the detail, the output. */
typedef struct ResultHead {
    int32_t error;
    uint32_t detail_size;
    uint32_t output_size;
} ResultHead;

#define RESULT_MAX (sizeof(ResultHead) + DETAIL_MAX + JOB_OUTPUT_MAX)

struct Job {
    JobDone done;
    void *userdata;
    pid_t pid; /* 0 when it is done */
    Secret *result;
    size_t have;
    sd_event_source *io;
    sd_event_source *timer;
};

static void kill_child(const Job *j)
{
    /* Its group may not be there yet. */
    (void)kill(-j->pid, SIGKILL);
    (void)kill(j->pid, SIGKILL);
}

Job *job_free(Job *j)
{
    if (!j)
        return NULL;
    sd_event_source_disable_unref(j->io); /* closes the pipe */
    sd_event_source_disable_unref(j->timer);
    if (j->pid > 0)
        kill_child(j);
    secret_free(j->result);
    free(j);
    return NULL;
}

/* The last thing that happens to a job: done may free it. */
static void finish(Job *j, int error, const Secret *output, const char *detail)
{
    j->io = sd_event_source_disable_unref(j->io);
    j->timer = sd_event_source_disable_unref(j->timer);
    j->pid = 0;
    j->done(error, output, detail, j->userdata);
}

/* Takes a whole result apart; one that is not whole is that of a child which died. */
static void finish_with_result(Job *j)
{
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(freep) char *detail = NULL;
    const uint8_t *p = j->result->data + sizeof(ResultHead);
    ResultHead head = {.error = -ECHILD};

    if (j->have >= sizeof(head))
        memcpy(&head, j->result->data, sizeof(head));
    if (j->have < sizeof(head) || j->have != sizeof(head) + head.detail_size + head.output_size) {
        finish(j, -ECHILD, NULL, NULL);
        return;
    }
    if (head.detail_size > 0)
        detail = strndup((const char *)p, head.detail_size);
    if (head.error == 0)
        output = secret_new_copy(p + head.detail_size, head.output_size);
    if (head.error == 0 && !output)
        head.error = -ENOMEM;
    j->result = secret_free(j->result);
    finish(j, head.error, output, detail);
}

static int on_result(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Job *j = userdata;
    ssize_t n = 0;

    (void)source;
    (void)revents;
    if (j->have < RESULT_MAX)
        n = read(fd, j->result->data + j->have, RESULT_MAX - j->have);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0)
        j->have += (size_t)n;
    else
        finish_with_result(j);
    return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    kill_child(userdata);
    finish(userdata, -ETIMEDOUT, NULL, NULL);
    return 0;
}

static int write_result(int fd, int error, const Secret *output, const char *detail)
{
    ResultHead head = {
        .error = error,
        .detail_size = detail ? (uint32_t)strnlen(detail, DETAIL_MAX) : 0,
        .output_size = output ? (uint32_t)output->size : 0,
    };
    int r = io_write_all(fd, &head, sizeof(head));

    if (r == 0 && detail)
        r = io_write_all(fd, detail, head.detail_size);
    if (r == 0 && output)
        r = io_write_all(fd, output->data, output->size);
    return r;
}

/* A child of fork(2) shares the event loop's descriptors, so it must not touch the loop. */
static _Noreturn void run_child(int fd, pid_t parent, JobWork work, const void *userdata)
{
    Secret *output = NULL;
    char *detail = NULL;
    sigset_t none;
    int r;

    /* A group of its own, for what it starts; and no descriptor: not the clients', who are to see
     * the end of their connections, and not the lock of the store. */
    (void)setpgid(0, 0);
    if ((fd > STDERR_FILENO + 1 && close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0) < 0) ||
        close_range((unsigned)fd + 1, UINT_MAX, 0) < 0)
        _exit(EXIT_FAILURE);
    sigemptyset(&none);
    (void)signal(SIGPIPE, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        getppid() != parent)
        _exit(EXIT_FAILURE);
    r = secret_memory_lock_again();
    if (r == 0)
        r = work(userdata, &output, &detail);
    if (r == 0 && output && output->size > JOB_OUTPUT_MAX)
        r = -E2BIG;
    r = write_result(fd, r, r == 0 ? output : NULL, detail);
    secret_free(output);
    _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int run_here(JobWork work, JobDone done, void *userdata)
{
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(freep) char *detail = NULL;
    int r = work(userdata, &output, &detail);

    done(r, output, detail, userdata);
    return 0;
}

/* The loop has reaped it. A driver may keep a killed process from ending for long, so this may come
 * when its job is forgotten. */
static int on_exit_of_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    (void)source;
    (void)si;
    (void)userdata;
    return 0;
}

static int watch(Job *j, sd_event *event, int fd, uint64_t limit_usec)
{
    int r = sd_event_add_io(event, &j->io, fd, EPOLLIN, on_result, j);

    if (r < 0) {
        close(fd);
        return r;
    }
    (void)sd_event_source_set_io_fd_own(j->io, true);
    r = sd_event_add_child(event, NULL, j->pid, WEXITED, on_exit_of_child, NULL);
    if (r < 0)
        return r;
    return sd_event_add_time_relative(event, &j->timer, CLOCK_MONOTONIC, limit_usec, 0, on_timeout,
                                      j);
}

int job_start(sd_event *event, uint64_t limit_usec, JobWork work, JobDone done, void *userdata,
              Job **ret)
{
    _cleanup_(job_freep) Job *j = NULL;
    pid_t parent = getpid();
    int fds[2], r;

    if (!event)
        return run_here(work, done, userdata);
    j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->done = done;
    j->userdata = userdata;
    j->result = secret_new(RESULT_MAX);
    if (!j->result)
        return -ENOMEM;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    j->pid = fork();
    if (j->pid == 0)
        run_child(fds[1], parent, work, userdata);
    r = j->pid < 0 ? -errno : 0;
    close(fds[1]);
    if (r < 0) {
        close(fds[0]);
        return r;
    }
    r = watch(j, event, fds[0], limit_usec);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(j);
    return 0;
}
