/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/controllers/counters.h"
#include "nvme-keyd/controllers/stall.h"
#include "nvme-keyd/controllers/target.h"
#include "nvme-keyd/manager/manager.h"

/* Which keys the connections of this machine use, and what they are for the store. */

typedef enum KeyUse {
    KEY_USE_NONE,   /* there is no connection now */
    KEY_USE_ACTIVE, /* a key of the store, by its state */
    KEY_USE_PENDING,
    KEY_USE_RETIRING,
    KEY_USE_REVOKED,   /* or the kernel says that it is */
    KEY_USE_OLDER,     /* nvme-keyd published it, but the store has it no longer */
    KEY_USE_PINNED,    /* named when the controller was connected (--tls-key=) */
    KEY_USE_GENERATED, /* made by the kernel (secure concatenation) */
    KEY_USE_FOREIGN,   /* of another program */
    KEY_USE_UNKNOWN,   /* the store is not open, so its keys are not known */
    KEY_USES,
} KeyUse;

const char *key_use_to_string(KeyUse use);

/* True if the next reset of a host's controller should bring it to the active key of its pair, if
 * there is one. */
bool key_use_is_old(KeyUse use);

typedef struct KeyInUse {
    KeyUse use;
    const Key *key;    /* of the table, NULL if it has none */
    const Key *active; /* the key of a host that the pair should use, or NULL */
    bool on_request;   /* it is not in the ring, but will be when the kernel asks */
    int32_t next;      /* serial by which the kernel finds that one, 0 if it is not in the ring */
    char *identity;    /* NULL if the kernel does not tell; to be freed */
} KeyInUse;

void key_in_use_done(const KeyInUse *u);

/* Reads the controllers with TLS of this host. Returns 0, also where there can be none, or the
 * error of controllers_read(). */
int manager_read_controllers(const Manager *m, ControllerList *ret) _must_check_;

/* Finds out about the key of one controller, or of one host of the target. Asks the kernel about
 * that key alone: the serials in the table are those of the last manager_look(). Returns 0 or
 * -ENOMEM. Release with key_in_use_done(). */
int manager_judge_controller(const Manager *m, const Controller *c, KeyInUse *ret) _must_check_;
int manager_judge_host(const Manager *m, const TargetHost *h, KeyInUse *ret) _must_check_;

/* Reads the hosts of the target of this machine; returns as target_hosts_read() does. */
int manager_read_hosts(const Manager *m, TargetHostList *ret) _must_check_;

/* The connections by the keys that they use. */
typedef struct ControllerCounts {
    size_t all;
    size_t active;  /* use the active key, */
    size_t old;     /* one that their next reset should replace by the active key, */
    size_t stalled; /* do not end their requests */
} ControllerCounts;
/* Linear in the number of controllers, each of which costs a question to the kernel. Returns 0, an
 * error of reading the controllers, or -ENOMEM. */
int manager_count_controllers(const Manager *m, ControllerCounts *ret) _must_check_;
/* Same, as a part of the last manager_look(), with which it is shared. */
int manager_look_controllers(Manager *m, const ControllerCounts **ret) _must_check_;

/* To be called every few seconds; now_usec: CLOCK_MONOTONIC. Reads one file, and takes a sample of
 * the controllers if requests may stall, because a peer has sent a KeyUpdate. Emits EVENT_MOVED for
 * controllers that use another key than at the last call, while there are readers. Returns true if
 * the controllers had to be read. */
bool manager_watch_controllers(Manager *m, uint64_t now_usec);
/* As of the last call. */
const KeyUpdates *manager_key_updates(const Manager *m);
const Stalls *manager_stalls(const Manager *m);
/* See stalls_next(). */
const StallDevice *manager_next_stalled(Manager *m);
