/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/ring.h"
#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/keys/key-table.h"

/*
 * Decides whether a key of a host may leave the ring. A controller searches for its PSK at each
 * reset and each reconnect, and if there is none the kernel deletes it, with its disks. So the key
 * that a controller uses may only be unlinked if its pair has another one in the ring.
 */

typedef struct Need {
    const ControllerList *controllers;
    const KeyTable *table;
    const RingList *list;   /* the keys in the ring */
    unsigned on_demand_sec; /* as for key_lifetime(): the kernel asks for missing keys */
} Need;

/* Returns a controller that would be lost without the key of this serial and description, or NULL.
 * Keys of the table, except the given one (or NULL), count if they are in the ring or the kernel
 * can ask for them; so does the key of another program that the controller uses. Linear in the
 * number of controllers, times the number of keys in the ring for a controller that uses another
 * key. */
const Controller *need_find(const Need *need, const Key *except, int32_t serial,
                            const char *description);
