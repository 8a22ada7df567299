/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/box.h"
#include "credstore/store.h"

/*
 * One record as a line of the store: a public part, and a sealed secret bound to its bytes. The
 * sealing key is derived from the store key, the id and the generation.
 */

typedef struct Record {
    StoreRecord public;   /* meta points into text */
    uint64_t number;      /* the id */
    uint64_t listed;      /* the generation in the index; 0: not in the index */
    unsigned more_owners; /* besides the first one */
    /* The text that a commit writes again, with its newline. A broken record keeps the text that
     * was found, if any. */
    size_t size;
    char text[];
} Record;

/* Records never change, so one may have several owners, each of which frees it. */
Record *record_share(Record *record);
/* Releases the record; the last owner frees it. Accepts NULL; returns NULL. */
Record *record_free(Record *record);
DEFINE_CLEANUP(Record, record_free)

/* Parses exactly 16 lower-case hex digits. */
bool record_id_parse(const char *s, uint64_t *ret);
void record_id_format(uint64_t id, char ret[static STORE_ID_SIZE]);

/* A parsed line, before it is authenticated. */
typedef struct RecordLine {
    uint64_t id;
    uint64_t generation;
    const char *meta;
    size_t meta_size;
    size_t public_size;
    const char *box;
    size_t box_size;
} RecordLine;

/* Reads the id at the beginning of a line whose rest may be broken. */
bool record_scan_id(const char *line, size_t size, uint64_t *ret);

/* Reads a line without its newline. Only the canonical form is accepted, so what is read is written
 * again unchanged. */
bool record_scan(const char *line, size_t size, RecordLine *ret);

/* Makes a record of a line of size bytes, without its newline. generation: as in the index, 0 if it
 * is not listed. Returns -EBADMSG (incomplete, of another id, or not authentic), -ESTALE
 * (authentic, but of the generation *ret_other), -ENOMEM. */
int record_load(Sealer *s, const Secret *key, uint64_t id, uint64_t generation, const char *line,
                size_t size, uint64_t *ret_other, Record **ret) _must_check_;

/* Makes a broken record with the text that was found. Returns -ENOMEM. */
int record_new_broken(uint64_t id, uint64_t listed, int error, const char *text, size_t size,
                      Record **ret) _must_check_;

/* Seals a new record; copies meta. Errors as store_add(). */
int record_new_sealed(Sealer *s, const Secret *key, uint64_t id, uint64_t generation,
                      const char *meta, const Secret *secret, Record **ret) _must_check_;

/* Decrypts the secret. Returns the record's error, -EBADMSG or -ENOMEM. */
int record_unseal(Sealer *s, const Secret *key, const Record *record, Secret **ret) _must_check_;
