/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"

/*
 * What the service manager is told, as by sd_notify(3), without waiting: that waits for a reader
 * whose queue is full. What has no room is sent a moment later, each state in its order; of a
 * status only the newest. Where there is no NOTIFY_SOCKET nothing is sent, and where it has no
 * reader what was to be sent is given up.
 */
typedef struct Notifier Notifier;

/* Feeds the watchdog as well, at half of WATCHDOG_USEC, where there is one. */
int notifier_new(sd_event *event, Notifier **ret) _must_check_;
Notifier *notifier_free(Notifier *n);
DEFINE_CLEANUP(Notifier, notifier_free)

void notifier_ready(Notifier *n);
/* To be followed by notifier_ready(). */
void notifier_reloading(Notifier *n);
void notifier_stopping(Notifier *n);

/* A line for people; the same one again is not sent. */
void notifier_status(Notifier *n, const char *text);

/* That start, reload or stop take this time more, from when it is sent. */
void notifier_extend(Notifier *n, uint64_t usec);

/* True when a state has not been sent yet. */
bool notifier_is_behind(const Notifier *n);
