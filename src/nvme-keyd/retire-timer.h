/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/manager/manager.h"

/* Calls a function when the Manager has something to do for retiring keys: at a deadline of either
 * clock, when the clock on the wall was set, and when it has been synchronised. */
typedef struct RetireTimer RetireTimer;

typedef void (*RetireTimerDue)(void *userdata);

int retire_timer_new(sd_event *event, const Manager *m, RetireTimerDue due, void *userdata,
                     RetireTimer **ret) _must_check_;
RetireTimer *retire_timer_free(RetireTimer *t);
DEFINE_CLEANUP(RetireTimer, retire_timer_free)

/* To be called when the Manager may have other deadlines. */
void retire_timer_update(RetireTimer *t);
