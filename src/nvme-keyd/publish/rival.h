/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/keys/key-table.h"
#include "nvme-keyd/publish/ring-notice.h"

/* Keys of other programs beside ours. */

/* What such a key is, if of is not NULL: RING_NOTICE_RIVAL, RING_NOTICE_MALFORMED or
 * RING_NOTICE_SHADOW. */
typedef struct Rival {
    RingNoticeKind kind;
    const Key *of; /* a key of the pair */
} Rival;

/* Finds a pair of ours whose search on a host could end with a key of this description before it
 * gets to those of ours that are in the ring. The kernel compares only the names, see
 * PskSearch; kernel_is_exact: it compares whole names, so nothing is a shadow. */
Rival rival_find(const KeyTable *table, const char *description, bool kernel_is_exact);

/* Adds a notice about a rival with this serial. */
void rival_note(const Rival *r, bool displaced, int32_t serial, RingNotices *notices);

/* True if a controller was connected with this very key, so that ours cannot replace it. */
bool rival_is_pinned(const ControllerList *l, int32_t serial);
