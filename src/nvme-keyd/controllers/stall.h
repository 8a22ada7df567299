/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"

/*
 * Requests of controllers that do not end. After a KeyUpdate of its peer a connection of NVMe/TCP
 * may wait for ever, and the controller stays live (counters.h). Then the requests of its
 * namespaces stay in flight, and none of them ends. The kernel does not show which connection it
 * is, so this is judged for each block device, by samples.
 */
typedef struct StallDevice {
    char name[48]; /* "nvme0c0n1" */
    char controller[32];
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    uint64_t inode; /* of the controller's directory */
    uint64_t completed;
    uint64_t since_usec; /* since when requests are in flight and none has ended; 0: they are not */
    bool stalled;        /* it has lasted for STALLED_USEC */
    bool logged;         /* it has been logged */
} StallDevice;

/* Starts as zeroes. */
typedef struct Stalls {
    StallDevice *items;
    size_t n;
} Stalls;

void stalls_done(Stalls *s);

/* Takes a sample of the live controllers of a list, which was read from directory; now_usec:
 * CLOCK_MONOTONIC. Keeps what it needs of the sample before, and forgets the other controllers.
 * Returns 0 or -ENOMEM. */
int stalls_sample(Stalls *s, const char *directory, const ControllerList *l, uint64_t now_usec)
    _must_check_;

/* True if requests of the controller of this name did not end as of the last sample. */
bool stalls_has(const Stalls *s, const char *controller);

/* Returns a device of a stalled controller that has not been logged, and marks all devices of that
 * controller as logged; NULL for none. */
const StallDevice *stalls_next(Stalls *s);
