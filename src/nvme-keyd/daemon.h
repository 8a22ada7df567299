/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Serves the sockets that the service manager passed, until it is stopped or has been idle for
 * long enough. Both strings are borrowed. Returns 0, or a negative errno that has been logged. */
int daemon_run(const char *config_path, const char *state_dir);
