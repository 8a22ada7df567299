/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/config/config.h"

/* The service: a Manager with its sockets, signals and timers on an event loop. */
typedef struct Daemon Daemon;

/* Makes a daemon without sockets. Blocks the signals that the loop handles. Both strings are
 * borrowed. */
int daemon_new(sd_event *event, const Config *config, const char *config_path,
               const char *state_dir, Daemon **ret) _must_check_;
Daemon *daemon_free(Daemon *d);
DEFINE_CLEANUP(Daemon, daemon_free)

/* Publishes the keys. The loop exits with 0 when the service has been idle for long enough and
 * nothing is left to do. */
void daemon_start(Daemon *d);

/* Same for --preload: without sockets and credentials, and without a change of the store. The loop
 * exits with an ExitCode when no store or TPM is worth waiting for any longer, at the latest after
 * timeout_usec, or when a signal ends it; the result is logged then (daemon_log_result()). */
void daemon_preload(Daemon *d, uint64_t timeout_usec);

/* Serves the sockets passed by the service manager until it is stopped or has been idle for long
 * enough. Returns 0, or a negative errno that has been logged. */
int daemon_run(const char *config_path, const char *state_dir) _must_check_;
