/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* The kernel starts one shim for each request; a large storage reconnect makes some 200 at once. */
#define UPCALL_CONNECTIONS_MAX 1024
/* Lifetime of a shim: nvme_tcp gives a handshake 10 s, and the requester waits for us. */
#define UPCALL_DEADLINE_USEC (8 * USEC_PER_SEC)
/* The requester uses a list of serials at once or not at all. */
#define UPCALL_ANSWER_SEC 5
