/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/upcall/protocol.h"
#include "request-key-shim/arguments.h"

/* Has the daemon answer, which its socket starts if need be, within UPCALL_DEADLINE_USEC. Returns 0
 * and a reply whose sizes are in their limits, or -ETIMEDOUT, -EBADMSG (no such answer), -ENOENT or
 * -ECONNREFUSED (nobody listens), -ECONNRESET (it ended without an answer, twice). */
int ask_daemon(const ShimArguments *a, UpcallReply *ret) __attribute__((warn_unused_result));
