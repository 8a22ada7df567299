/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/box.h"
#include "credstore/store.h"

/*
 * One record as its line of the store has it: the public part, and the sealed secret, which is
 * bound to the bytes of that. Its key comes from the store key, the id and the generation.
 */

typedef struct Record {
    StoreRecord public;   /* meta lies in text */
    uint64_t number;      /* the id */
    uint64_t listed;      /* the generation that the index has; 0: it is not in there */
    unsigned more_owners; /* besides the first one */
    /* What a commit writes again, newline included. Of a broken record it is what was found, and
     * nothing where nothing was. */
    size_t size;
    char text[];
} Record;

/* A record never changes, so it may have several owners; each frees it. */
Record *record_share(Record *record);
/* Frees it for the last of its owners. Accepts NULL; returns NULL. */
Record *record_free(Record *record);
DEFINE_CLEANUP(Record, record_free)

/* Parses 16 lower-case hex digits and nothing else. */
bool record_id_parse(const char *s, uint64_t *ret);
void record_id_format(uint64_t id, char ret[static STORE_ID_SIZE]);

/* What a line says, before anybody knows whether it is authentic. */
typedef struct RecordLine {
    uint64_t id;
    uint64_t generation;
    const char *meta;
    size_t meta_size;
    size_t public_size;
    const char *box;
    size_t box_size;
} RecordLine;

/* Reads the id at the beginning of a line, which may be broken behind it. */
bool record_scan_id(const char *line, size_t size, uint64_t *ret);

/* Reads a line, of which the newline is no part. Only one form is taken, so what is read and
 * written again is the same. */
bool record_scan(const char *line, size_t size, RecordLine *ret);

/* Makes a record of a line, of which size is without a newline. generation: that of the index, 0
 * for one that is not in there. Returns -EBADMSG (not a whole record, of another id, not
 * authentic), -ESTALE (authentic, of another generation, which *ret_other gets), -ENOMEM. */
int record_load(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *line,
                size_t size, uint64_t *ret_other, Record **ret) _must_check_;

/* Makes one that cannot be used, with what was found of it. Returns -ENOMEM. */
int record_new_broken(uint64_t id, uint64_t listed, int error, const char *text, size_t size,
                      Record **ret) _must_check_;

/* Seals a new record. meta is copied.
 * Returns -EINVAL (secret empty, or metadata that cannot be read back), -E2BIG, -ENOMEM, -EIO. */
int record_new_sealed(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      json_object *meta, const Secret *secret, Record **ret) _must_check_;

/* Decrypts the secret. Returns the record's error, -EBADMSG or -ENOMEM. */
int record_unseal(Sealer *s, const Secret *key, const Record *record, Secret **ret) _must_check_;
