/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/exit-code.h"
#include "nvme-keyd/config/config.h"

/* How long the store may take to open where nobody says otherwise. */
#define PRELOAD_TIMEOUT_SEC 30
#define PRELOAD_TIMEOUT_MAX_SEC (24 * 60 * 60)

/*
 * Publishes all keys once and is done: for an initramfs without a service manager, so without
 * sockets and with nobody to ask later. Keys are resident, whatever the configuration says, and the
 * store is neither made nor changed.
 *
 * Waits at most timeout_usec for a store that another process has open, for a TPM that is not there
 * yet, and for one that does not answer. Takes the effective group that our keys have, which
 * without a service manager nobody has set. Says how it went: in one line, and in one for each
 * record that cannot be used (broken_log()).
 */
ExitCode preload_run(const Config *config, const char *state_dir, uint64_t timeout_usec);
