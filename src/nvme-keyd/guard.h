/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/ring.h"
#include "nvme-keyd/controllers.h"
#include "nvme-keyd/key-table.h"

/*
 * Whether a key of a host may leave the ring. A controller looks for its PSK at each reset and each
 * reconnect, and the kernel deletes one that finds none, with its disks. So the key that a
 * controller stands on may go only when its pair has another one in the ring.
 */

/* The controller that would be lost if the ith key of list, which is the ring's, left the ring; or
 * NULL. Keys of table count as they are in the ring, but for except (or NULL); and so does the key
 * of another program that the controller uses. Linear in the number of controllers, times that of
 * the keys for one that uses another key. */
const Controller *guard_find(const ControllerList *controllers, const KeyTable *table,
                             const Key *except, const RingList *list, size_t i);
