/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/log.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/job/job.h"

#define SELF "/proc/self/exe"
#define DETAIL_MAX ((size_t)4096)

/* The request on the pipe: the size of the secret, the secret, then the data up to the end. */
/* A pipe takes so much without being made larger. */
#define PIPE_SIZE ((size_t)64 * 1024)

/* The result on the pipe: this, then the detail, then the output. */
typedef struct ResultHead {
    int32_t error;
    uint32_t detail_size;
    uint32_t output_size;
} ResultHead;

#define RESULT_MAX (sizeof(ResultHead) + DETAIL_MAX + JOB_OUTPUT_MAX)

struct Job {
    JobDone done;
    void *userdata;
    pid_t pid; /* 0 after its end */
    Secret *result;
    size_t have;
    sd_event_source *io;
    sd_event_source *timer;
};

static void kill_child(const Job *j)
{
    /* The child itself as well, because its group may not exist yet. */
    (void)kill(-j->pid, SIGKILL);
    (void)kill(j->pid, SIGKILL);
}

Job *job_free(Job *j)
{
    if (!j)
        return NULL;
    sd_event_source_disable_unref(j->io); /* also closes the pipe */
    sd_event_source_disable_unref(j->timer);
    if (j->pid > 0)
        kill_child(j);
    secret_free(j->result);
    free(j);
    return NULL;
}

/* Nothing may follow this, because done may free the job. */
static void finish(Job *j, int error, const Secret *output, const char *detail)
{
    j->io = sd_event_source_disable_unref(j->io);
    j->timer = sd_event_source_disable_unref(j->timer);
    j->pid = 0;
    j->done(error, output, detail, j->userdata);
}

/* An incomplete result means that the child died. */
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
    if (head.error == 0 && head.output_size > 0) {
        output = secret_new_copy(p + head.detail_size, head.output_size);
        head.error = output ? 0 : -ENOMEM;
    }
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

static int read_secret(Secret **ret)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    uint32_t size = 0;
    size_t have = 0;
    int r = io_read_up_to(STDIN_FILENO, &size, sizeof(size), &have);

    if (r < 0)
        return r;
    if (have != sizeof(size) || size > JOB_SECRET_MAX)
        return -EBADMSG;
    secret = secret_new(size);
    if (!secret)
        return -ENOMEM;
    r = io_read_up_to(STDIN_FILENO, secret->data, size, &have);
    if (r < 0 || have != size)
        return r < 0 ? r : -EBADMSG;
    *ret = TAKE_PTR(secret);
    return 0;
}

static int do_work(JobWork work, Secret **ret_output, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *secret = NULL;
    _cleanup_(freep) uint8_t *data = malloc(JOB_DATA_MAX);
    size_t size = 0;
    int r = secret_memory_init();

    if (!data)
        return -ENOMEM;
    if (r == 0)
        r = read_secret(&secret);
    if (r == 0)
        r = io_read_up_to(STDIN_FILENO, data, JOB_DATA_MAX, &size);
    if (r == 0)
        r = work(secret, data, size, ret_output, reterr_detail);
    return r == 0 && *ret_output && (*ret_output)->size > JOB_OUTPUT_MAX ? -E2BIG : r;
}

int job_helper_main(JobWork work)
{
    _cleanup_(secret_freep) Secret *output = NULL;
    _cleanup_(freep) char *detail = NULL;
    int fd, r;

    log_setup("nvme-keyd");
    /* A library may print to standard output, so the result gets a descriptor of its own. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || close_range(STDERR_FILENO + 1, UINT_MAX, 0) < 0 ||
        (fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0 ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return EXIT_FAILURE;
    r = do_work(work, &output, &detail);
    return write_result(fd, r, r == 0 ? output : NULL, detail) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool is_listed(const char *entry, const char *const *names)
{
    for (; names && *names; names++) {
        const char *rest = text_after(entry, *names);

        if (rest && *rest == '=')
            return true;
    }
    return false;
}

/* Those of the kind, and those that say where to log. */
static void make_environment(const JobKind *kind, char *ret[], size_t n_max)
{
    static const char *const logs[] = {NAMES_ENV_LOG_LEVEL, "JOURNAL_STREAM", NULL};
    size_t n = 0;

    for (char **e = environ; *e && n + 1 < n_max; e++)
        if (is_listed(*e, kind->variables) || is_listed(*e, logs))
            ret[n++] = *e;
    ret[n] = NULL;
}

/* Under valgrind /proc/self/exe is valgrind, and only its text names this program. After an update
 * the text ends in " (deleted)", and the link itself still leads to our file. */
static const char *own_program(char buffer[static PATH_MAX])
{
    ssize_t n = readlink(SELF, buffer, PATH_MAX - 1);

    if (n <= 0)
        return SELF;
    buffer[n] = '\0';
    return access(buffer, X_OK) == 0 ? buffer : SELF;
}

/* After this the child has none of our descriptors. A copy of a client's would hide the end of its
 * connection, and one of the store's lock would keep the store locked. The group of its own is for
 * processes that the child starts, which are killed with it. */
static int spawn(const JobKind *kind, int request_fd, int result_fd, pid_t *ret)
{
    char *const argv[] = {(char *)(uintptr_t) "nvme-keyd", (char *)(uintptr_t)kind->option, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    char *environment[16], program[PATH_MAX];
    sigset_t none, all;
    int r;

    make_environment(kind, environment, ARRAY_SIZE(environment));
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    /* A child whose effective gid differs distrusts its environment (secure_getenv(3)). The sandbox
     * of the unit refuses to set ids, but there both are the same. */
    if (getegid() != getgid())
        flags |= POSIX_SPAWN_RESETIDS;
    r = posix_spawnattr_setflags(&attributes, flags);
    if (r == 0)
        r = posix_spawnattr_setsigmask(&attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(&attributes, &all);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, request_fd, STDIN_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, result_fd, STDOUT_FILENO);
    /* Close-on-exec is not enough: posix_spawn(3) may return a moment before the kernel closes
     * those descriptors. */
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    if (r == 0)
        r = posix_spawn(ret, own_program(program), &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* The loop has reaped the child. A driver may delay the end of a killed process, so this may run
 * after its job is freed. */
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
    r = sd_event_add_time_relative(event, &j->timer, CLOCK_MONOTONIC, limit_usec, 0, on_timeout, j);
    return r < 0 ? r : 0;
}

/* The pipe must take the whole request at once, because nothing reads it yet. A user with many
 * pipes gets small ones from the kernel; then this must fail and not wait. */
static int send_request(int fd, const Secret *secret, const void *data, size_t size)
{
    uint32_t secret_size = (uint32_t)secret->size;
    size_t all = sizeof(secret_size) + secret->size + size;
    int r;

    if (secret->size > JOB_SECRET_MAX || size > JOB_DATA_MAX)
        return -E2BIG;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        (all > PIPE_SIZE && fcntl(fd, F_SETPIPE_SZ, (int)all) < 0))
        return -errno;
    r = io_write_all(fd, &secret_size, sizeof(secret_size));
    if (r == 0)
        r = io_write_all(fd, secret->data, secret->size);
    return r == 0 && size > 0 ? io_write_all(fd, data, size) : r;
}

static int start(Job *j, sd_event *event, const JobKind *kind, const Secret *secret,
                 const void *data, size_t size)
{
    _cleanup_(closep) int request_read = -EBADF, request_write = -EBADF, result_read = -EBADF,
                          result_write = -EBADF;
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    request_read = fds[0];
    request_write = fds[1];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    result_read = fds[0];
    result_write = fds[1];
    r = send_request(request_write, secret, data, size);
    if (r == 0)
        r = spawn(kind, request_read, result_write, &j->pid);
    return r < 0 ? r : watch(j, event, TAKE_FD(result_read), kind->limit_usec);
}

int job_start(sd_event *event, const JobKind *kind, const Secret *secret, const void *data,
              size_t size, JobDone done, void *userdata, Job **ret)
{
    _cleanup_(job_freep) Job *j = calloc(1, sizeof(*j));
    int r;

    if (!j)
        return -ENOMEM;
    j->done = done;
    j->userdata = userdata;
    j->result = secret_new(RESULT_MAX);
    if (!j->result)
        return -ENOMEM;
    r = start(j, event, kind, secret, data, size);
    if (r == 0)
        *ret = TAKE_PTR(j);
    return r;
}
