/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/file.h"
#include "credstore/head.h"
#include "credstore/keyslots.h"
#include "credstore/record.h"
#include "credstore/store.h"

/* The inside of a store: all of the file is in memory, with secrets sealed. */

struct Store {
    int dirfd; /* holds the lock */
    Sealer *sealer;
    Secret *key; /* NULL while attached but not unlocked */
    char identity[STORE_IDENTITY_SIZE];
    char opened_by[SLOT_ID_SIZE]; /* the slot that gave the key; empty in a new store */
    /* The ids of slots known to open the store: opened_by, and those sealed since. */
    json_object *proven;
    Header header;
    /* The value of the rollback counter in the TPM, valid if counter_checked. */
    bool counter_checked;
    uint64_t counter_seen;
    /* The highest value written: the state of a failed commit may be on the disk. */
    uint64_t counter_written;
    /* The file, while the store is attached. */
    FileText text;
    Head head;
    Record **records; /* sorted by id */
    size_t n_records;
    Tpm2Counter removing; /* the orphan that was requested last */
    bool damaged;         /* the disk could not read a part of the file */
    bool in_transaction;
    /* The disk may have another state after a restart, because a commit failed and could not be
     * taken back. */
    bool uncertain;
};

/* Returns the index of the first of n sorted records whose id is not below id; n if there is none.
 */
size_t store_lower_bound(Record *const *records, size_t n, uint64_t id);

/* Makes an empty store and locks its directory. Returns errors of file_lock_dir(). */
int store_new(const char *dir, Store **ret, char **reterr_detail) _must_check_;

void store_forget_records(Store *s);

/* Computes the identity of a store with a key. Returns -ENOMEM, -EIO. */
int store_identity_of(const Store *s, const Secret *key, char ret[static STORE_IDENTITY_SIZE])
    _must_check_;

/* Makes size random bytes, not secret, as hex and a NUL: 2 * size + 1 bytes. */
int store_make_id(size_t size, char *ret) _must_check_;

/* Returns the record of an id, or NULL. */
Record *store_find_record(const Store *s, uint64_t id);

/* Loads the records of an unlocked store. Problems become errors of records. Returns -EBADMSG
 * (malformed index), -ENOMEM and the like. */
int store_load(Store *s) _must_check_;

/* Formats the head of a state, to be freed. Returns errors of head_format(). */
int store_format_head(const Store *s, const Header *header, Record *const *records,
                      size_t n_records, char **ret, size_t *ret_size) _must_check_;

/* Writes a state and makes it the store. Errors and *ret_renamed as file_publish(); -E2BIG past
 * STORE_FILE_MAX. */
int store_write(const Store *s, const Header *header, Record *const *records, size_t n_records,
                bool *ret_renamed) _must_check_;
