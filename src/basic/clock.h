/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* True if the kernel says that CLOCK_REALTIME is synchronised and was not set by hand since. If we
 * may not ask the kernel, true if file exists. */
bool clock_is_synchronized(const char *file);
