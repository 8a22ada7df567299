/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

/*
 * What an administrator should know, to syslog. The kernel starts us with nowhere else to write to.
 * Not by syslog(3), which waits for who does not read, and allocates. A message that finds no
 * reader is lost.
 */

/* Takes a level of syslog(3). No more than 200 bytes are sent. */
void report(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a request that was refused. Any user can make as many as they like, so there are at
 * most ten such messages in a second. */
void report_refusal(uid_t uid);
