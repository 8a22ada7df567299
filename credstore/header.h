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
/* Numbers up to this are exact in readers that only have doubles. */
#define GENERATION_MAX ((uint64_t)1 << 53)

/* A TPM counter that distinguishes the current store from an old copy of all of it. value equals
 * the counter in the TPM, or is ahead of it until the TPM has caught up. */
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
    /* Counters of this store that are not needed any more, or not yet, and that the TPM may have.
     */
    Tpm2Counter orphans[STORE_ORPHANS_MAX];
    size_t n_orphans;
    size_t orphans_tried; /* how many of them were tried since the store was opened; not written */
    /* Distinguishes an export for a boot image from all others; empty in the store itself. */
    char image[HEADER_ID_SIZE];
} Header;

/* Frees the members of header. */
void header_done(Header *header);

/* Parses line 1, which may still be forged: its slots yield the key that authenticates it. Returns
 * -EBADMSG, -EPROTONOSUPPORT (a newer version), -ENOMEM. */
int header_parse(const char *line, size_t size, Header *ret) _must_check_;

/* Formats line 1 without a newline, to be freed. Returns -ENOMEM. */
int header_format(const Header *header, char **ret) _must_check_;

/* Parses an object with a counter and its value; NULL means no counter. Returns -EBADMSG. */
int rollback_counter_parse(json_object *object, RollbackCounter *ret) _must_check_;
/* Formats that object; NULL without a counter. Returns -ENOMEM, -EINVAL. */
int rollback_counter_format(const RollbackCounter *counter, json_object **ret) _must_check_;
