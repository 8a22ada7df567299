/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/*
 * Standard output, whose errors all verbs report in one place. A secret that is shown once is
 * another matter: whether it can be shown is found out before it is made, as far as that can be
 * known, and what is made all the same is undone.
 */

/* Gives each of the descriptors 0, 1 and 2 that is closed a file on which reading or writing fails,
 * so that no socket gets its number. Returns 0 or an error. */
int output_init(void) _must_check_;

/* To be called before a change whose secret is to be shown; what: "PSK", say. Returns EXIT_OK, or
 * says that standard output is closed, has lost its reader or has no room for a secret. From then
 * on a reader that goes away is an error of output_flush(), not the end of the program. */
int output_check_secret(const char *what) _must_check_;

/* Hands over what was printed. Returns 0, or an error for output_error_text(). */
int output_flush(void) _must_check_;

/* An error of standard output, in words that need not be freed. */
const char *output_error_text(int error);

/* The last thing a program does: closes standard output. result: the exit code so far; look: where
 * people see what was changed, NULL if nothing was. Returns the exit code, EXIT_OTHER where what
 * was printed got lost. */
int output_finish(int result, const char *look);
