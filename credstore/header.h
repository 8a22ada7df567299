/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/limits.h"
#include "credstore/seal/tpm2/counter.h"

/* 128 random bits as hex and a NUL. */
#define HEADER_ID_SIZE 33
/* Every number in the format is exact in a reader that only has doubles. */
#define GENERATION_MAX ((uint64_t)1 << 53)

/* A counter of a TPM that tells an old copy of the whole store from the current one: value is the
 * counter's, or ahead of it until the TPM has caught up. */
typedef struct RollbackCounter {
    bool present;
    Tpm2Counter tpm;
    uint64_t value;
} RollbackCounter;

/* Line 1 of a store. */
typedef struct Header {
    char id[HEADER_ID_SIZE];
    uint64_t generation;
    json_object *slots; /* array of objects */
    RollbackCounter counter;
    /* Counters of this store that the TPM may still have, and that nothing needs. */
    Tpm2Counter orphans[STORE_ORPHANS_MAX];
    size_t n_orphans;
    /* Tells one export for a boot image from all others; empty in the store itself. */
    char image[HEADER_ID_SIZE];
} Header;

/* Frees what header owns. */
void header_done(Header *header);

/* Parses line 1, which need not be authentic yet: its slots lead to the key that tells.
 * Returns -EBADMSG, -EPROTONOSUPPORT (a newer version), -ENOMEM. */
int header_parse(const char *line, size_t size, Header *ret) _must_check_;

/* Makes line 1, without a newline, to be freed. Returns -ENOMEM. */
int header_format(const Header *header, char **ret) _must_check_;

/* Parses an object with the members of a counter and its value; a NULL object is none. Returns
 * -EBADMSG. */
int rollback_counter_parse(json_object *object, RollbackCounter *ret) _must_check_;
/* Makes that object; NULL for none. Returns -ENOMEM, -EINVAL. */
int rollback_counter_format(const RollbackCounter *counter, json_object **ret) _must_check_;
