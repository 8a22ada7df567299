/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

/* Root may call everything. Members of the group that the daemon runs with, which also owns the
 * socket, may read; methods that change something require root themselves. Returns 0 or -EACCES. */
int authorize_peer(int fd, const struct ucred *peer, void *userdata);
