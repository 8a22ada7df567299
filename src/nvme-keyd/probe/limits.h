/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* Half of MaxConnections= of the socket: a helper counts there until the service manager has seen
 * its end. */
#define PROBES_AT_ONCE 8
/* Controllers of a large host, on all their paths. Each probe that waits has its PSK in locked
 * memory: these fill an eighth of it. */
#define PROBES_MAX 512
/* The helper needs 37 s at most, see its limits. */
#define PROBE_DEADLINE_USEC (40 * USEC_PER_SEC)
