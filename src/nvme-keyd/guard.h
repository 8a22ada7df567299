/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers.h"
#include "nvme-keyd/key-table.h"

/*
 * Whether a key of a host may leave the ring. A controller looks for its PSK at each reset and each
 * reconnect, and the kernel deletes one that finds none, with its disks. So the key that a
 * controller stands on may go only when its pair has another one in the ring.
 */

/* The controller that would be lost if the key of this serial and description left the ring, or
 * NULL. Keys of table count as they are in the ring, but for except (or NULL). Linear in the number
 * of controllers. */
const Controller *guard_find(const ControllerList *controllers, const KeyTable *table,
                             const Key *except, int32_t serial, const char *description);
