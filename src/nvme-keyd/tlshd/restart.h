/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"

/* Has the service manager restart a unit, over its own socket: there may be no message bus. */
typedef struct UnitRestart UnitRestart;

/* error: 0 when the restart is on its way, or a negative errno. */
typedef void (*UnitRestartDone)(const char *unit, int error, void *userdata);

/* Asks, without waiting; done is called from the event loop, once, unless this is freed before.
 * address: of sd_bus_set_address(3); unit is borrowed. Returns the error of connecting. */
int unit_restart_new(sd_event *event, const char *address, const char *unit, UnitRestartDone done,
                     void *userdata, UnitRestart **ret) _must_check_;
/* Accepts NULL; returns NULL. Not from inside of done. */
UnitRestart *unit_restart_free(UnitRestart *u);
DEFINE_CLEANUP(UnitRestart, unit_restart_free)
