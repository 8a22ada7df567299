/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

/* Sends standard output, and standard error if it is a terminal, through a pager, as systemd(1)
 * does: $SYSTEMD_PAGER, $PAGER or less. Call it for a terminal only, before any output, and not
 * where a secret is printed. Returns the process, or 0 if there is no pager, and then output stays
 * as it is. */
pid_t pager_start(void);

/* Waits for the pager; standard output has to be closed before. */
void pager_wait(pid_t pid);
