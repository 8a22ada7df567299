/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* tlshd links its keyrings first thing after its start. */
#define TLSHD_START_USEC (5 * USEC_PER_SEC)
/* The service manager answers at once, or not at all. */
#define UNIT_RESTART_TIMEOUT_USEC (20 * USEC_PER_SEC)
/* Its program has some hundred kilobytes. */
#define TLSHD_PROGRAM_MAX ((size_t)64 * 1024 * 1024)
