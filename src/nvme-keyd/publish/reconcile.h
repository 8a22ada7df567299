/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/ring.h"
#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/keys/key-table.h"
#include "nvme-keyd/publish/loss.h"
#include "nvme-keyd/publish/ring-notice.h"

/*
 * Reconciles the ring: it should hold the publishable keys of the table, and all foreign keys. With
 * on_demand_sec > 0, keys of hosts are not added, but may stay for so long; see key_lifetime().
 * Keys are added before any is unlinked, and adding displaces a key of the same identity in one
 * step, so a wanted key is never missing.
 */

typedef struct ReconcileResult {
    size_t added;     /* were missing, or had other bytes */
    size_t kept;      /* were right */
    size_t removed;   /* ours, but no longer wanted */
    size_t held;      /* unwanted, but needed by controllers; see need.h */
    size_t displaced; /* foreign keys beside ours that were unlinked */
    size_t failed;    /* could not be added or read; nothing is removed then */
    int error;        /* of the last failure */
    bool blind;       /* the controllers could not be read, and error says why */
    /* The last key whose secret could not be read, for that error; borrowed from the table. */
    const Key *unreadable;
} ReconcileResult;

typedef struct ReconcileOptions {
    unsigned on_demand_sec;
    bool all_records;        /* the table has all keys of the store; else unknown ones stay */
    bool all_handed_in;      /* the table has all handed-in keys; else unknown ones stay */
    bool displace_foreign;   /* unlink foreign keys that the kernel could take for ours */
    bool kernel_is_exact;    /* the kernel compares whole NQNs, so no key shadows another */
    const char *controllers; /* the directory for controllers_read(), or NULL for no controller */
} ReconcileOptions;

/* Reconciles the whole ring; linear in the number of keys in it and in the table. Updates the
 * serials of the keys. Adds keys that need attention to notices, and those that another program has
 * taken out and that were put back to losses. Returns 0 (failures of single keys are in *ret),
 * -ENOMEM, or the error of a ring that is gone. */
int reconcile_ring(const Ring *ring, const KeyTable *table, const ReconcileOptions *options,
                   RingNotices *notices, Losses *losses, ReconcileResult *ret) _must_check_;

/* Adds the missing TLS PSKs of one key, of the given versions. Restarts timeouts. payload: of the
 * key, or NULL to unseal it here. */
int reconcile_publish(const Ring *ring, Key *k, const Secret *payload, unsigned versions,
                      unsigned on_demand_sec) _must_check_;

/* Unlinks one key and sets its serials to 0. No other key has its identities of the given versions,
 * so any key with such a name is unlinked, even a foreign one. */
int reconcile_withdraw(const Ring *ring, Key *k, unsigned versions) _must_check_;

/* Same for a revoked key, and revokes its serials, except those that a controller refers to. */
int reconcile_revoke(const Ring *ring, Key *k, unsigned versions, const ControllerList *controllers)
    _must_check_;

/* Removes the timeouts of all keys that we ever published, because without a store they cannot be
 * told apart. Linear. */
int reconcile_keep(const Ring *ring) _must_check_;

/* Counts the keys of ours in the ring, known to the table or not. Linear. */
int reconcile_count_ours(const Ring *ring, size_t *ret) _must_check_;

/* Sets the serials of keys that are not in the ring any more to 0. Linear. */
int reconcile_refresh(const Ring *ring, const KeyTable *table) _must_check_;
