/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* Whether CLOCK_REALTIME has been synchronised with another clock, and not been set by hand since,
 * as the kernel knows it from who steers it. file tells where the kernel does not: it exists when
 * it has been. */
bool clock_is_synchronized(const char *file);
