/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/publish/publisher.h"

/*
 * Looks at the ring every other second, and calls its handler if another program has changed it, so
 * that the ring is reconciled: a live controller whose reset finds no key is gone for good. Where
 * the kernel reports changes (keyring/ring-events.h), a look follows each report, and the others
 * are rarer.
 */
typedef struct Guard Guard;

typedef enum GuardEvent {
    GUARD_CHANGED, /* reconcile the ring */
    GUARD_FIGHTS,  /* another program undoes it again and again, so looks become rare */
    GUARD_RESTS,   /* that is over */
} GuardEvent;
typedef void (*GuardHandler)(GuardEvent event, void *userdata);

/* Borrows the Publisher. */
int guard_new(sd_event *event, Publisher *p, Guard **ret) _must_check_;
Guard *guard_free(Guard *g);
DEFINE_CLEANUP(Guard, guard_free)

void guard_set_handler(Guard *g, GuardHandler handler, void *userdata);

/* To be called when the configuration, the keys or the ring may have changed. Looks as long as
 * there is a key to guard and wanted is true. */
void guard_update(Guard *g, bool wanted);

/* True while it looks. */
bool guard_is_looking(const Guard *g);

/* True if the kernel reports changes. */
bool guard_is_notified(const Guard *g);

/* The time between two looks during a fight, 0 if there is none. */
uint64_t guard_fight_pause(const Guard *g);
