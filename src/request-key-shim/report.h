/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

/*
 * Messages to syslog, because the kernel starts us without standard streams. Not by syslog(3),
 * which allocates, and blocks if the reader does. A message without a reader is lost.
 */

/* Takes a level of syslog(3). Only the first 200 bytes are sent. */
void report(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reports a refused request. Any user can make many, so at most ten a second are reported. */
void report_refusal(uid_t uid);
