/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/file.h"
#include "credstore/head.h"
#include "credstore/keyslots.h"
#include "credstore/record.h"
#include "credstore/store.h"

/* The inside of a store: everything on the disk is in memory, the secrets sealed. */

struct Store {
    int dirfd; /* holds the lock */
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
    /* The highest that was written: a commit that has failed may be on the disk all the same. */
    uint64_t counter_written;
    /* What was read, while it is attached. */
    FileText text;
    Head head;
    bool damaged;     /* the disk could not read a part of the file */
    Record **records; /* in the order of their ids */
    size_t n_records;
    size_t orphans_tried; /* the first so many of header.orphans, while the store is open */
    bool in_transaction;
};

/* The first of n sorted records whose id is not below id; n when there is none. */
size_t store_lower_bound(Record *const *records, size_t n, uint64_t id);

/* Makes a store with its directory locked and nothing else. Returns errors of file_lock_dir(). */
int store_new(const char *dir, Store **ret, char **reterr_detail) _must_check_;

void store_forget_records(Store *s);

/* The identity of a store with that key. Returns -ENOMEM, -EIO. */
int store_identity_of(const Store *s, const Secret *key, char ret[static STORE_IDENTITY_SIZE])
    _must_check_;

/* Random bytes that are no secret, as hex and a NUL: 2 * size + 1 bytes. */
int store_make_id(size_t size, char *ret) _must_check_;

/* The record of that id, or NULL. */
Record *store_find_record(const Store *s, uint64_t id);

/* Makes the records of the text of an unlocked store. What is wrong with them becomes errors of
 * records. Returns -EBADMSG (the index is none), -ENOMEM and the like. */
int store_load(Store *s) _must_check_;

/* Makes the head of a state, to be freed. Returns errors of head_format(). */
int store_format_head(const Store *s, const Header *header, Record *const *records,
                      size_t n_records, char **ret, size_t *ret_size) _must_check_;

/* Writes a state and makes it the store. Errors and *ret_renamed as file_publish(), or -E2BIG past
 * STORE_FILE_MAX. */
int store_write(const Store *s, const Header *header, Record *const *records, size_t n_records,
                bool *ret_renamed) _must_check_;
