/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/names.h"
#include "probe-helper.h"

static void serve(int listener, HelperAnswer answer)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        ProbeRequest q;
        ProbeReply reply;

        if (fd < 0)
            _exit(1);
        if (recv(fd, &q, sizeof(q), 0) == sizeof(q) && answer(&q, fd, &reply) == 0)
            (void)send(fd, &reply, sizeof(reply), MSG_NOSIGNAL);
        close(fd);
    }
}

int helper_start(Helper *h, const char *dir, HelperAnswer answer)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)snprintf(h->path, sizeof(h->path), "%s/.probe", dir);
    strcpy(a.sun_path, h->path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0 ||
        setenv(NAMES_ENV_PROBE, h->path, 1) < 0)
        return -errno;
    h->pid = fork();
    if (h->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, answer);
    }
    close(fd);
    return h->pid < 0 ? -errno : 0;
}

void helper_stop(const Helper *h)
{
    (void)unsetenv(NAMES_ENV_PROBE);
    (void)unsetenv(NAMES_ENV_CONTROLLERS);
    if (h->pid > 0) {
        (void)kill(h->pid, SIGKILL);
        (void)waitpid(h->pid, NULL, 0);
    }
}
