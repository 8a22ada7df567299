/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"

/*
 * Notifies the service manager as sd_notify(3) does, but never blocks: sd_notify() waits for a
 * reader whose queue is full. A message without room is sent a moment later, states in their order,
 * and only the newest status. Without a NOTIFY_SOCKET nothing is sent; if the socket has no reader,
 * pending messages are dropped.
 */
typedef struct Notifier Notifier;

/* Also feeds the watchdog, every half of WATCHDOG_USEC, if one is set. */
int notifier_new(sd_event *event, Notifier **ret) _must_check_;
Notifier *notifier_free(Notifier *n);
DEFINE_CLEANUP(Notifier, notifier_free)

void notifier_ready(Notifier *n);
/* To be followed by notifier_ready(). */
void notifier_reloading(Notifier *n);
void notifier_stopping(Notifier *n);

/* Sets the status, a line for people. An unchanged one is not sent again. */
void notifier_status(Notifier *n, const char *text);

/* Asks for usec more for start, reload or stop, counted from when the message is sent. */
void notifier_extend(Notifier *n, uint64_t usec);

/* True while a state has not been sent. */
bool notifier_is_behind(const Notifier *n);
