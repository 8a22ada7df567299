/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keyring/ring.h"
#include "nvme-keyd/keys/key-table.h"
#include "nvme-keyd/publish/ring-notice.h"

/*
 * Makes the ring hold what it should: the publishable keys of the table, plus whatever is not ours.
 * With on_demand_sec > 0 keys of hosts are not added, but may be there for so long; see
 * key_lifetime(). Keys are added before any is unlinked, and an add displaces a key of the same
 * identity in one step, so that at no moment a key that should be there is not.
 */

typedef struct SyncResult {
    size_t added;   /* were missing or had other bytes */
    size_t kept;    /* were right */
    size_t removed; /* ours, but no longer wanted */
    size_t held;    /* not wanted, but a controller stands on them; see guard.h */
    size_t failed;  /* could not be added or read; nothing is removed then */
    int error;      /* of the last failure */
    /* The last key whose secret could not be read, for that error; borrowed from the table. */
    const Key *unreadable;
} SyncResult;

typedef struct SyncOptions {
    unsigned on_demand_sec;
    bool
        all_records; /* the table has all that the store has; otherwise unknown keys of ours stay */
    bool all_credentials;    /* the table has what the credentials have; otherwise such keys stay */
    const char *controllers; /* the directory for controllers_read(), or NULL for no controller */
} SyncOptions;

/* Looks at the whole ring; linear in the number of keys in it and in the table. Updates the serials
 * of the table's keys.
 * What somebody has to look at is added to notices. Returns 0 (failures of single keys are in
 * *ret), -ENOMEM, or the error that says the ring is gone. */
int sync_all(const Ring *ring, const KeyTable *table, const SyncOptions *options,
             RingNotices *notices, SyncResult *ret) _must_check_;

/* Adds those TLS PSKs of one key that are not in the ring, of the versions given. A timeout starts
 * again. payload: of the key, or NULL to have it unsealed. */
int sync_publish(const Ring *ring, Key *k, const Secret *payload, unsigned versions,
                 unsigned on_demand_sec) _must_check_;

/* Unlinks what is in the ring of one key; its serials become 0. Of the versions given no other key
 * has the identity, so whatever has its name is unlinked, whoever has put it there. */
int sync_withdraw(const Ring *ring, Key *k, unsigned versions) _must_check_;

/* Sees to it that none of the keys that we ever published has a timeout, where there is no store to
 * tell them apart. Linear. */
int sync_keep(const Ring *ring) _must_check_;

/* How many keys of the ring are ours, whether the table knows them or not. Linear. */
int sync_count_ours(const Ring *ring, size_t *ret) _must_check_;

/* Looks which serials of the table are still in the ring; the others become 0. Linear. */
int sync_refresh(const Ring *ring, const KeyTable *table) _must_check_;
