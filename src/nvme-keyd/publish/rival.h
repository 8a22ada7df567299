/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/keys/key-table.h"

/* Keys of other programs beside ours. */

/* True if the search of a host could end with a key of this identity before it gets to those of
 * ours that are in the ring. */
bool rival_is_one(const KeyTable *table, const PskIdentity *identity);

/* True if a controller was connected with this very key, so that ours cannot replace it. */
bool rival_is_pinned(const ControllerList *l, int32_t serial);
