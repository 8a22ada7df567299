/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "basic/macro.h"

/*
 * Messages go to the journal, with their fields, if standard error is connected to it, and else to
 * standard error. The function that handles an event logs it; library code logs at debug only.
 * Logging never blocks: it drops a line that the reader has no room for, and counts it.
 */

/* Optional fields of a message; NULL leaves one out. */
typedef struct LogFields {
    const char *message_id; /* one of MESSAGE_* in names.h */
    const char *hostnqn;
    const char *subsysnqn;
    const char *key_id;
    const char *cause; /* a word that says why, for programs */
} LogFields;

/* Reads NVME_KEYD_LOG_LEVEL (emerg..debug or 0..7). name: what to print before a message on
 * standard error, NULL for nothing. Without a call, messages up to LOG_INFO are shown. */
void log_setup(const char *name);

/* How many lines were dropped since the start. */
uint64_t log_dropped(void);

/* True if lines were dropped that no line in the log has reported. */
bool log_has_gap(void);

/* Logs how many lines were dropped since the last report. log_full() does the same first. Returns
 * false if the reader has no room for this line either: call again a moment later. */
bool log_report_dropped(void);

/* True if messages go to the journal. */
bool log_goes_to_journal(void);

/* Logs a message, with the text of error if that is a negative errno. Returns error. */
int log_full(int level, int error, const LogFields *fields, const char *format, ...) _printf_(4, 5);

#define log_error(...) ((void)log_full(LOG_ERR, 0, NULL, __VA_ARGS__))
#define log_warning(...) ((void)log_full(LOG_WARNING, 0, NULL, __VA_ARGS__))
#define log_notice(...) ((void)log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__))
#define log_info(...) ((void)log_full(LOG_INFO, 0, NULL, __VA_ARGS__))
#define log_debug(...) ((void)log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__))
#define log_error_errno(error, ...) log_full(LOG_ERR, error, NULL, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full(LOG_WARNING, error, NULL, __VA_ARGS__)
#define log_debug_errno(error, ...) log_full(LOG_DEBUG, error, NULL, __VA_ARGS__)
