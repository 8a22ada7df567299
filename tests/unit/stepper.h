/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Runs a function in a child, which is killed at a chosen system call: at each there are two stops,
 * one before and one after it takes effect.
 */

/* What a child does. It calls stepper_begin() before the first call at which it may be killed, and
 * returns 0 when all went well. */
typedef int (*Deed)(void *userdata);

void stepper_begin(void);

/* Runs deed up to its nth stop and kills it there, n > 0. Returns 1, 0 when it came to its end
 * before, -EPERM where tracing is forbidden, -EIO when it failed. */
int stepper_kill(Deed deed, void *userdata, int n);
