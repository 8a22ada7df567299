/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* From the start of tlshd until it has linked its keyrings, which it does first. */
#define TLSHD_START_USEC (5 * USEC_PER_SEC)
/* The service manager answers at once, or is stuck. */
#define UNIT_RESTART_TIMEOUT_USEC (20 * USEC_PER_SEC)
