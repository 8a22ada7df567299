/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* The look for counters of other stores in the TPM only reads what needs no password, which takes
 * milliseconds. Keys that a slot has opened already wait for it, and at boot so does all that
 * connects, which gives up within a minute. */
#define COUNTER_CHECK_TIMEOUT_USEC (5 * USEC_PER_SEC)
