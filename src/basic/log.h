/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <syslog.h>

#include "basic/macro.h"

/*
 * Messages go to the journal with their fields where standard error is connected to it, to standard
 * error otherwise. Only the place that handles an event logs it; library code does not, above
 * debug.
 */

/* Optional fields of a message; NULL leaves one out. */
typedef struct LogFields {
    const char *message_id; /* one of MESSAGE_* in names.h */
    const char *hostnqn;
    const char *subsysnqn;
    const char *key_id;
} LogFields;

/* Reads NVME_KEYD_LOG_LEVEL (emerg..debug or 0..7). name: what to print before a message on
 * standard error, NULL for nothing. Without a call, messages up to LOG_INFO are shown. */
void log_setup(const char *name);

/* Logs and returns error, which is 0 or a negative errno; its text is appended where below 0. */
int log_full(int level, int error, const LogFields *fields, const char *format, ...) _printf_(4, 5);

#define log_error(...) ((void)log_full(LOG_ERR, 0, NULL, __VA_ARGS__))
#define log_warning(...) ((void)log_full(LOG_WARNING, 0, NULL, __VA_ARGS__))
#define log_notice(...) ((void)log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__))
#define log_info(...) ((void)log_full(LOG_INFO, 0, NULL, __VA_ARGS__))
#define log_debug(...) ((void)log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__))
#define log_error_errno(error, ...) log_full(LOG_ERR, error, NULL, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, error, NULL, __VA_ARGS__)
#define log_debug_errno(error, ...) log_full(LOG_DEBUG, error, NULL, __VA_ARGS__)
