/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* Readers other than root share one look at the keyring, which costs some microseconds a key. */
#define LOOK_SHARED_USEC (USEC_PER_SEC / 10)
/* A look that takes longer than a tenth of that is shared for LOOK_SHARE times its duration. */
#define LOOK_SHARE 10
