/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/glance.h"
#include "nvme-keyd/keys/key-table.h"

/* Sees what another program has changed in the ring. Starts as zeroes. */
typedef struct RingWatch {
    Glance glance;
    int32_t ring;   /* serial of the ring that was looked at, 0 for none */
    int32_t *known; /* serials of the last look, sorted */
    size_t n_known;
} RingWatch;

void ring_watch_done(RingWatch *w);

typedef enum RingChange {
    RING_AS_IT_WAS,
    RING_HAS_OTHERS, /* keys of other programs have come or, if that is asked for, have gone */
    RING_LACKS_OURS, /* a key that belongs into the ring is not there, or is dead */
} RingChange;

/* Compares the ring with the keys of the table. While nothing changes, this costs two system calls
 * (glance.h); otherwise one for each key that should be there. gone: report also that serials of
 * other programs have gone. The first look reports all that are there. Returns a RingChange, or an
 * error: that of a ring that is gone, or -ENOMEM. */
int ring_watch_look(RingWatch *w, const Ring *ring, const KeyTable *table, unsigned on_demand_sec,
                    bool gone) _must_check_;
