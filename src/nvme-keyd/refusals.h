/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"

/*
 * Rate-limited notices in the journal about calls refused to a peer. Each user has some notices a
 * minute, and all users together have some; further refusals are counted, and the number is logged
 * when the minute is over.
 */
typedef struct Refusals Refusals;

/* Returns -ENOMEM, or an error of sd-event. */
int refusals_new(sd_event *event, Refusals **ret) _must_check_;

/* Logs the refusals without a notice. Accepts NULL; returns NULL. */
Refusals *refusals_free(Refusals *r);
DEFINE_CLEANUP(Refusals, refusals_free)

/* method: the called method, never text of a peer; NULL for a connection refused for want of room.
 */
void refusals_add(Refusals *r, uid_t uid, const char *method);
