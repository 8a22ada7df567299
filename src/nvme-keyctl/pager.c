/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/macro.h"
#include "nvme-keyctl/pager.h"

extern char **environ;

/* Ends at once when all fits, keeps colours and the screen, and shows a prompt with the position.
 */
#define LESS_OPTIONS "FRXMK"

static const char *chosen(void)
{
    const char *pager = getenv("SYSTEMD_PAGER"), *term = getenv("TERM");

    if (!term || strcmp(term, "dumb") == 0)
        return "";
    if (!pager)
        pager = getenv("PAGER");
    return pager ? pager : "less";
}

/* Without shell commands and files in less, because it may run with more privileges than its user
 * has elsewhere. */
static void set_environment(void)
{
    const char *options = getenv("SYSTEMD_LESS");

    (void)setenv("LESS", options ? options : LESS_OPTIONS, 1);
    (void)setenv("LESSSECURE", "1", 1);
}

static int spawn(const char *pager, int input, pid_t *ret)
{
    const char *const argv[] = {"sh", "-c", pager, NULL};
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    /* posix_spawn(3) does not change the vector; its prototype is older than const. */
    if (r == 0)
        r = posix_spawn(ret, "/bin/sh", &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

pid_t pager_start(void)
{
    const char *pager = chosen();
    int pipe_fds[2];
    pid_t pid = 0;

    if (pager[0] == '\0' || strcmp(pager, "cat") == 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return 0;
    set_environment();
    if (spawn(pager, pipe_fds[0], &pid) < 0)
        pid = 0;
    if (pid > 0) {
        /* A pager that is left early is no error. */
        (void)signal(SIGPIPE, SIG_IGN);
        (void)dup2(pipe_fds[1], STDOUT_FILENO);
        if (isatty(STDERR_FILENO))
            (void)dup2(pipe_fds[1], STDERR_FILENO);
    }
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    return pid;
}

void pager_wait(pid_t pid)
{
    /* The pager ends when all writers have closed its input. */
    (void)close(STDERR_FILENO);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
