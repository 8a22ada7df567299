/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/commit.h"
#include "credstore/header.h"
#include "credstore/keyslots.h"
#include "credstore/record.h"
#include "credstore/store.h"

/* The inside of a store: everything on the disk is in memory, the secrets sealed. */

typedef enum Unsettled {
    SETTLED,
    TO_FINISH,  /* a commit is a fact, but its files are not all in place */
    TO_RETRACT, /* a commit has failed, but commit.json may be on the disk */
} Unsettled;

struct Store {
    StoreDirs dirs;
    Sealer *sealer;
    Secret *key; /* NULL: attached, not unlocked */
    char identity[STORE_IDENTITY_SIZE];
    char opened_by[SLOT_ID_SIZE]; /* the slot that gave the key; empty in a new store */
    /* The ids of slots that are known to open it: that one, and what was sealed since. */
    json_object *proven;
    Header header;
    /* What the rollback counter has in the TPM, unless nobody could ask it. */
    bool counter_checked;
    uint64_t counter_seen;
    RollbackCounter orphan; /* one of ours in the TPM that nothing needs any more */
    /* Why the index of a shard cannot be believed, -EBADMSG or -ESTALE; 0 where it can. All records
     * of such a shard are broken. */
    int shard_errors[STORE_SHARDS];
    /* The highest generation of each shard that was seen: the next one is above. */
    uint64_t shard_seen[STORE_SHARDS];
    Record **records; /* in the order of their ids */
    size_t n_records;
    bool in_transaction;
    Unsettled unsettled;
    CommitPlan plan; /* of the unsettled commit */
};

/* The first of n sorted records whose id is not below id; n when there is none. */
size_t store_lower_bound(Record *const *records, size_t n, uint64_t id);

/* Makes a store with its directory locked and nothing else. Returns errors of dirs_open(). */
int store_new(const char *dir, Store **ret, char **reterr_detail) _must_check_;

void store_forget_records(Store *s);

/* The identity of a store with that key. Returns -ENOMEM, -EIO. */
int store_identity_of(const Store *s, const Secret *key, char ret[static STORE_IDENTITY_SIZE])
    _must_check_;

/* Random bytes that are no secret, as hex and a NUL: 2 * size + 1 bytes. */
int store_make_id(size_t size, char *ret) _must_check_;

/* Reads header.json into s; with the store key it is checked to be authentic. */
int store_read_header(Store *s, char **reterr_detail) _must_check_;

/* The record of that id, or NULL. */
Record *store_find_record(const Store *s, uint64_t id);

/* Reads index and records into an empty store whose header is authentic. What is wrong with them
 * becomes errors of records. Returns -ENOMEM and the like. */
int store_load(Store *s) _must_check_;
