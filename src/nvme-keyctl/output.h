/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/*
 * Standard output. All verbs report its errors in one place. A secret is shown only once, so a verb
 * first checks that standard output will take it, and undoes its change if writing fails
 * nevertheless.
 */

/* Gives each of the descriptors 0, 1 and 2 that is closed a file on which reading or writing fails,
 * so that no socket gets its number, and standard output a buffer that output_flush() can wipe.
 * Returns 0 or an error. */
int output_init(void) _must_check_;

/* The width of the terminal that standard output is, or 0. */
unsigned output_columns(void);

/* Call this before a change that prints a secret; what names it, e.g. "PSK". Returns EXIT_OK, or
 * prints that standard output is closed, has lost its reader or has no room. Afterwards a reader
 * that goes away is an error of output_flush() instead of a SIGPIPE. */
int output_check_secret(const char *what) _must_check_;

/* Flushes standard output, and wipes its buffer, which may hold a secret. Returns 0, or an error
 * for output_error_text(). */
int output_flush(void) _must_check_;

/* An error of standard output in words, as a static string. */
const char *output_error_text(int error);

/* Closes standard output, as the last step of a program. result: the exit code so far; look: where
 * people see the changes, NULL for none. Returns the exit code: EXIT_OTHER if output was lost. */
int output_finish(int result, const char *look);
