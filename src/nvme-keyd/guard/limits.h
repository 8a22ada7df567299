/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* A key that was taken out is back within five seconds: a look comes every two seconds, at most one
 * second later if the kernel can serve other timers with the same wakeup. */
#define GUARD_LOOK_USEC (2 * USEC_PER_SEC)
#define GUARD_ACCURACY_USEC USEC_PER_SEC

/* More rounds in a minute are a fight with another program, and not accidents. */
#define GUARD_ROUNDS 10
#define GUARD_ROUNDS_USEC (60 * USEC_PER_SEC)
/* During a fight each round doubles the pause, up to this. */
#define GUARD_PAUSE_MAX_USEC (60 * USEC_PER_SEC)
/* A fight is over after so long without a round. */
#define GUARD_QUIET_USEC (300 * USEC_PER_SEC)
