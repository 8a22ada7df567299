/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Runs a function in a child and kills it at a chosen system call. Each call has two stops, one
 * before and one after it takes effect.
 */

/* The function. It calls stepper_begin() before the first call at which it may be killed, and
 * returns 0 on success. */
typedef int (*Deed)(void *userdata);

void stepper_begin(void);

/* Runs deed up to its nth stop and kills it there, n > 0. Returns 1, 0 if it ended before, -EPERM
 * if tracing is forbidden, -EIO if it failed. */
int stepper_kill(Deed deed, void *userdata, int n);
