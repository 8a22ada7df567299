/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* A key that was taken out is back within five seconds: a look comes every two seconds, at most one
 * second later if the kernel can serve other timers with the same wakeup. */
#define GUARD_LOOK_USEC (2 * USEC_PER_SEC)
#define GUARD_ACCURACY_USEC USEC_PER_SEC
/* Where the kernel reports what comes and goes, looks are for keys that are revoked or expire. */
#define GUARD_RARE_LOOK_USEC (4 * USEC_PER_SEC)
/* Between two looks that follow reports, so that another program that adds thousands of keys costs
 * a few looks. */
#define GUARD_REPORT_PAUSE_USEC (USEC_PER_SEC / 5)
#define GUARD_REPORT_ACCURACY_USEC 1000

/* More rounds in a minute are a fight with another program, and not accidents. */
#define GUARD_ROUNDS 10
#define GUARD_ROUNDS_USEC (60 * USEC_PER_SEC)
/* During a fight each round doubles the pause, up to this. */
#define GUARD_PAUSE_MAX_USEC (60 * USEC_PER_SEC)
/* A fight is over after so long without a round. */
#define GUARD_QUIET_USEC (300 * USEC_PER_SEC)
