/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/manager/manager.h"

/* Calls a function when the Manager has work for retiring keys: at a deadline of either clock,
 * after a step of the wall clock, and once the clock is synchronised. */
typedef struct RetireTimer RetireTimer;

typedef void (*RetireTimerDue)(void *userdata);

int retire_timer_new(sd_event *event, const Manager *m, RetireTimerDue due, void *userdata,
                     RetireTimer **ret) _must_check_;
RetireTimer *retire_timer_free(RetireTimer *t);
DEFINE_CLEANUP(RetireTimer, retire_timer_free)

/* To be called when deadlines of the Manager may have changed. */
void retire_timer_update(RetireTimer *t);
