/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* The kernel starts one shim per request; 200 connects at once is a large storage reconnect. */
#define UPCALL_CONNECTIONS_MAX 1024
/* The whole life of a shim: nvme_tcp gives a handshake 10 s, and the requester waits for us. */
#define UPCALL_DEADLINE_USEC (8 * USEC_PER_SEC)
/* An answer that lists serials is of use at once or not at all. */
#define UPCALL_ANSWER_SEC 5
