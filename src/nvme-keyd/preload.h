/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "basic/exit-code.h"

/* The time that the store may take to open unless --timeout= is given. */
#define PRELOAD_TIMEOUT_SEC 30
#define PRELOAD_TIMEOUT_MAX_SEC (24 * 60 * 60)

/*
 * Runs the daemon until all keys are published (daemon_preload()): for an initramfs without a
 * service manager, so without sockets and without a service that answers later. Keys are resident,
 * whatever the configuration says, and the store is neither made nor changed.
 *
 * Waits at most timeout_usec for a store that another process has open, for a TPM that has not
 * appeared yet, and for a TPM that does not answer. Takes the effective group that marks our keys,
 * because without a service manager it is not set. Logs mistakes of the configuration, and then the
 * result.
 */
ExitCode preload_run(const char *config_path, const char *state_dir, uint64_t timeout_usec);
