/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "probe/packet.h"

/* The helper of probes, as a process that serves one connection after the other. */
typedef struct Helper {
    char path[80];
    pid_t pid;
} Helper;

/* Answers a request of the right size, received on fd. Returns 0, or another value for no answer.
 */
typedef int (*HelperAnswer)(const ProbeRequest *q, int fd, ProbeReply *ret);

/* Starts it with a socket in dir, which the environment names from then on. */
int helper_start(Helper *h, const char *dir, HelperAnswer answer);
/* Also drops the controllers from the environment. */
void helper_stop(const Helper *h);
