/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"

/*
 * Notices in the journal about calls that were refused for who made them. Each user has some a
 * minute, and all users together have some; the others are counted, and the number is told when the
 * minute is over.
 */
typedef struct Refusals Refusals;

/* Returns -ENOMEM, or an error of sd-event. */
int refusals_new(sd_event *event, Refusals **ret) _must_check_;

/* Tells what is still untold. Accepts NULL; returns NULL. */
Refusals *refusals_free(Refusals *r);
DEFINE_CLEANUP(Refusals, refusals_free)

/* method: what was called, no text of a peer; NULL for a connection that there was no room for. */
void refusals_add(Refusals *r, uid_t uid, const char *method);
