/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/seal/spawn.h"

/* Enough for systemd's message about one failure, and for one log line. */
#define COMPLAINT_MAX 500

typedef struct Child {
    pid_t pid; /* 0 for none */
    int in;    /* its ends of the pipes */
    int out;
    int err;
    int output; /* ours */
    int complaints;
} Child;

static void child_done(Child *child)
{
    if (child->pid > 0) {
        (void)kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    closep(&child->in);
    closep(&child->out);
    closep(&child->err);
    closep(&child->output);
    closep(&child->complaints);
}

/* Avoids 0, 1 and 2: the child's ends are copied there one after the other, and must not be
 * overwritten. */
static int make_pipe(int flags, int *ret_read, int *ret_write)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | flags) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] <= STDERR_FILENO) {
            int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = -errno;

            close(fds[i]);
            fds[i] = fd;
            if (fd < 0) {
                closep(&fds[1 - i]);
                return error;
            }
        }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

/* Writes all input before the child starts, so there is no deadlock and no SIGPIPE. */
static int fill_input(Child *child, const void *input, size_t size)
{
    _cleanup_(closep) int fd = -EBADF;
    ssize_t n;
    int r = make_pipe(O_NONBLOCK, &child->in, &fd);

    if (r < 0)
        return r;
    n = write(fd, input, size);
    if (n < 0 && errno != EAGAIN)
        return -errno;
    if (n < 0 || (size_t)n != size)
        return -E2BIG;
    /* The ends have separate status flags, and the child expects a blocking one. */
    return fcntl(child->in, F_SETFL, 0) < 0 ? -errno : 0;
}

/* Returns a positive error, as the functions of posix_spawn(3) do. */
static int add_redirections(const Child *child, posix_spawn_file_actions_t *actions)
{
    int r = posix_spawn_file_actions_adddup2(actions, child->in, STDIN_FILENO);

    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, child->out, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(actions, child->err, STDERR_FILENO);
    /* Our descriptors are close-on-exec; this closes those that libraries left open. */
    return r != 0 ? r : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

static int reset_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int r;

    sigemptyset(&none);
    sigfillset(&all);
    r = posix_spawnattr_setsigmask(attributes, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &all);
    return r != 0 ? r
                  : posix_spawnattr_setflags(attributes,
                                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(Child *child, const char *const argv[])
{
    /* Makes systemd-creds print only failures, without colours, to standard error. */
    static const char *const environment[] = {"PATH=/usr/bin:/bin",
                                              "LC_ALL=C.UTF-8",
                                              "SYSTEMD_LOG_TARGET=console",
                                              "SYSTEMD_LOG_LEVEL=err",
                                              "SYSTEMD_COLORS=0",
                                              "TSS2_LOG=all+NONE",
                                              NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r;

    r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -r;
    }
    r = add_redirections(child, &actions);
    if (r == 0)
        r = reset_signals(&attributes);
    /* posix_spawn(3) changes neither vector; its prototype is older than const. */
    if (r == 0)
        r = posix_spawn(&child->pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv,
                        (char *const *)(uintptr_t)environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Waits for the end of the child; returns -EREMOTEIO unless it succeeded. */
static int reap(Child *child, uint64_t deadline_usec)
{
    _cleanup_(closep) int pidfd = pidfd_open(child->pid, 0);
    int status, r;

    if (pidfd < 0)
        return -errno;
    r = io_wait(pidfd, POLLIN, deadline_usec);
    if (r < 0)
        return r;
    r = waitpid(child->pid, &status, 0) < 0 ? -errno : 0;
    child->pid = 0;
    if (r < 0)
        return r;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EREMOTEIO;
}

/* Reads the messages of the child as one printable line. */
static void read_complaints(int fd, char ret[static COMPLAINT_MAX + 1])
{
    ssize_t n = read(fd, ret, COMPLAINT_MAX);
    size_t length = n > 0 ? (size_t)n : 0;

    for (size_t i = 0; i < length; i++)
        if (ret[i] < ' ' || ret[i] > '~')
            ret[i] = ret[i] == '\n' ? ' ' : '?';
    while (length > 0 && ret[length - 1] == ' ')
        length--;
    ret[length] = '\0';
}

int spawn_filter(const char *const argv[], const void *input, size_t input_size, size_t output_max,
                 uint64_t deadline_usec, Secret **ret_output, char **reterr_detail)
{
    _cleanup_(child_done) Child child = {0, -EBADF, -EBADF, -EBADF, -EBADF, -EBADF};
    _cleanup_(secret_freep) Secret *output = NULL;
    char complaints[COMPLAINT_MAX + 1];
    int r, read_error;

    r = fill_input(&child, input, input_size);
    if (r < 0)
        return r;
    r = make_pipe(0, &child.output, &child.out);
    if (r < 0)
        return r;
    /* Not blocking: this pipe is read only after the child has ended, and must not hold it up. */
    r = make_pipe(O_NONBLOCK, &child.complaints, &child.err);
    if (r < 0)
        return r;
    r = spawn(&child, argv);
    if (r < 0)
        return detail_set(reterr_detail, r, "%s: %s", argv[0], strerror(-r));

    /* Only the child may hold the write ends, so that its end is the end of file. */
    close(TAKE_FD(child.out));
    close(TAKE_FD(child.err));
    read_error = secret_read_fd(child.output, output_max, deadline_usec, &output);
    if (read_error < 0 && read_error != -ENODATA)
        return read_error;
    r = reap(&child, deadline_usec);
    read_complaints(child.complaints, complaints);
    if (r == -EREMOTEIO)
        return detail_set(reterr_detail, r, "%s failed%s%s", argv[0], complaints[0] ? ": " : "",
                          complaints);
    if (r < 0)
        return r;
    if (read_error < 0)
        return detail_set(reterr_detail, -EREMOTEIO, "%s printed nothing", argv[0]);

    *ret_output = TAKE_PTR(output);
    return 0;
}
