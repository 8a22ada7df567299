/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* The search for counters of other stores only reads public data of the TPM, which takes
 * milliseconds. It delays keys that a slot has opened already, and at boot every connection, each
 * of which gives up within a minute. */
#define COUNTER_CHECK_TIMEOUT_USEC (5 * USEC_PER_SEC)
