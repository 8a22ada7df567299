/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/box.h"
#include "credstore/store.h"

/*
 * One record as records/ID.json holds it: line 1 is public, line 2 the sealed secret, bound to the
 * bytes of line 1. Its key comes from the store key, the id and the generation.
 */

typedef struct Record {
    StoreRecord public;
    uint64_t number; /* the id */
    bool listed;     /* in the index of its shard */
    /* Unless public.error is set: */
    char *line; /* line 1 without its newline */
    size_t line_size;
    SealedBox *box;
    unsigned more_owners; /* besides the first one */
} Record;

/* A record never changes, so it may have several owners; each frees it. */
Record *record_share(Record *record);
/* Frees it for the last of its owners. Accepts NULL; returns NULL. */
Record *record_free(Record *record);
DEFINE_CLEANUP(Record, record_free)

/* Splits the text of a file into line 1 and the box of line 2. Returns -EBADMSG or -ENOMEM. */
int record_split(const char *text, size_t size, size_t *ret_line_size, SealedBox **ret_box)
    _must_check_;

/* Parses line 1; the caller puts the metadata. Returns -EBADMSG or -ENOMEM. */
int record_parse_line(const char *line, size_t size, uint64_t *ret_id, uint64_t *ret_generation,
                      json_object **ret_meta) _must_check_;

/* Makes a record that cannot be used. Returns -ENOMEM. */
int record_new_broken(uint64_t id, uint64_t generation, int error, Record **ret) _must_check_;

/* Seals a new record. meta is copied.
 * Returns -EINVAL (secret empty, or metadata that cannot be read back), -E2BIG, -ENOMEM, -EIO. */
int record_new_sealed(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      json_object *meta, const Secret *secret, Record **ret) _must_check_;

/* Makes a record from the text of its file and checks all of it; generation is what the index has,
 * 0 for a file that is not in it. What is wrong with the text becomes the error of the record,
 * whose generation then is the higher of the two. Returns -ENOMEM. */
int record_load(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *text,
                size_t size, Record **ret) _must_check_;

/* Decrypts the secret. Returns the record's error, -EBADMSG or -ENOMEM. */
int record_unseal(Sealer *s, const Secret *key, const Record *record, Secret **ret) _must_check_;

/* Makes the text of the file, to be freed. Returns -ENOMEM. */
int record_format(const Record *record, char **ret, size_t *ret_size) _must_check_;
