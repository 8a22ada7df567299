/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/config/config.h"

/* The service: a Manager with its sockets, signals and timers on an event loop. */
typedef struct Daemon Daemon;

/* Blocks the signals that the loop is to get. Both strings are borrowed. Has no sockets yet. */
int daemon_new(sd_event *event, const Config *config, const char *config_path,
               const char *state_dir, Daemon **ret) _must_check_;
Daemon *daemon_free(Daemon *d);
DEFINE_CLEANUP(Daemon, daemon_free)

/* Publishes what there is to publish. The loop exits with 0 when the service has been idle for long
 * enough and nothing is left to do. */
void daemon_start(Daemon *d);

/* Serves the sockets that the service manager passed, until it is stopped or has been idle for
 * long enough. Returns 0, or a negative errno that has been logged. */
int daemon_run(const char *config_path, const char *state_dir) _must_check_;
