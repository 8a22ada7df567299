/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "nvme-keyd/manager/manager.h"

/* Looks at the controllers of this host from time to time (manager_watch_controllers()), and logs
 * those whose requests do not end. The kernel sends no event for either. */
typedef struct ControllerTimer ControllerTimer;

int controller_timer_new(sd_event *event, Manager *m, ControllerTimer **ret) _must_check_;
/* Accepts NULL; returns NULL. */
ControllerTimer *controller_timer_free(ControllerTimer *t);
DEFINE_CLEANUP(ControllerTimer, controller_timer_free)

/* To be called once, when the service has started. */
void controller_timer_start(ControllerTimer *t);
