/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"

/* Asks the service manager to restart a unit, by its private socket, as there may be no bus. */
typedef struct UnitRestart UnitRestart;

/* error: 0 if the restart was queued, or a negative errno. */
typedef void (*UnitRestartDone)(const char *unit, int error, void *userdata);

/* Sends the request without waiting. The event loop calls done once, unless this is freed first.
 * address: see sd_bus_set_address(3); unit is borrowed. Returns the error of connecting. */
int unit_restart_new(sd_event *event, const char *address, const char *unit, UnitRestartDone done,
                     void *userdata, UnitRestart **ret) _must_check_;
/* Accepts NULL; returns NULL. Must not be called from done. */
UnitRestart *unit_restart_free(UnitRestart *u);
DEFINE_CLEANUP(UnitRestart, unit_restart_free)
