/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* Readers other than root share one look at the keyring, which costs some microseconds a key. */
#define LOOK_SHARED_USEC (USEC_PER_SEC / 10)
/* A look that takes longer than a tenth of that is shared for LOOK_SHARE times its duration. */
#define LOOK_SHARE 10

/* Pauses between two attempts to switch to a key that follows its target: a person who has just
 * given the target its PSK waits no longer than this, and a target that never gets it costs little.
 */
#define FOLLOW_FIRST_USEC USEC_PER_SEC
#define FOLLOW_LAST_USEC (60 * USEC_PER_SEC)
/* Rounds of probes at once: they share PROBES_AT_ONCE helpers, and each holds the answers of its
 * paths. */
#define FOLLOW_AT_ONCE 32

/* The ends of lifetimes are reported together that are so far apart at most: the keys of an import
 * were made one after the other. */
#define EXPIRY_GROUP_USEC (2 * USEC_PER_SEC)
