/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stepper.h"

void stepper_begin(void)
{
    (void)raise(SIGSTOP);
}

int stepper_kill(Deed deed, void *userdata, int n)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        _exit(deed(userdata) < 0 ? 1 : 0);
    }
    for (int i = 0;; i++) {
        if (waitpid(pid, &status, 0) < 0)
            return -errno;
        if (WIFEXITED(status))
            return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == 77 ? -EPERM : -EIO;
        if (!WIFSTOPPED(status))
            return -EIO;
        if (i == n) {
            (void)kill(pid, SIGKILL);
            return waitpid(pid, &status, 0) < 0 ? -errno : 1;
        }
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
            return -errno;
    }
}
