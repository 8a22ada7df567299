/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager.h"

/* What manager.c (store, ring, time) and manager-change.c (add, rotate, remove) share. */

struct Manager {
    Config config;
    const char *state_dir;
    Store *store;
    int store_error; /* why the last, slow, try to open it failed, or 0 */
    char *store_detail;
    uint64_t store_tried_usec; /* CLOCK_MONOTONIC, when */
    Ring *ring;
    KeyTable keys;
    uint64_t deadline_usec; /* the earliest of the retiring keys', 0 for none */
};

/* Makes the ring right, opening it if need be. Frees no key. */
int manager_resync(Manager *m, SyncResult *ret) _must_check_;

/* Publishes what is not in the ring of one key. When the ring turns out to be gone, the new one
 * gets all keys. Frees no key. */
int manager_publish(Manager *m, Key *k);

/* Lets go of retiring keys whose time is over: out of the ring, then out of the store. */
int manager_settle(Manager *m);

/* To be called when keys have come, gone or changed their deadline. */
void manager_update_deadline(Manager *m);
