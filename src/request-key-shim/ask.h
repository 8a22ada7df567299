/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/upcall/protocol.h"
#include "request-key-shim/arguments.h"

/* Gets the answer of the daemon, which its socket starts if necessary, within UPCALL_DEADLINE_USEC.
 * Returns 0 and a reply whose sizes are within their limits, or -ETIMEDOUT, -EBADMSG (invalid
 * answer), -ENOENT or -ECONNREFUSED (no listener), -ECONNRESET (it ended twice). */
int ask_daemon(const ShimArguments *a, UpcallReply *ret) __attribute__((warn_unused_result));
