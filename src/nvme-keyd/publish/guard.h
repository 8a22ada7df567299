/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/ring.h"
#include "nvme-keyd/keys/key-table.h"
#include "nvme-keyd/publish/controllers.h"

/*
 * Whether a key of a host may leave the ring. A controller looks for its PSK at each reset and each
 * reconnect, and the kernel deletes one that finds none, with its disks. So the key that a
 * controller stands on may go only when its pair has another one in the ring.
 */

typedef struct Guard {
    const ControllerList *controllers;
    const KeyTable *table;
    const RingList *list;   /* what is in the ring */
    unsigned on_demand_sec; /* as key_lifetime() has it: the kernel asks for what is not there */
} Guard;

/* The controller that would be lost without the key of this serial and description, or NULL. Keys
 * of the table count as they are in the ring or can be asked for, but for except (or NULL); and so
 * does the key of another program that the controller uses. Linear in the number of controllers,
 * times that of the ring's keys for one that uses another key. */
const Controller *guard_find(const Guard *g, const Key *except, int32_t serial,
                             const char *description);
