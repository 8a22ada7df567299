/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/seal/tpm2/counter.h"

#define STORE_SHARDS 64
/* 128 random bits as hex and a NUL. */
#define HEADER_ID_SIZE 33
/* Every number in the format is exact in a reader that only has doubles. */
#define GENERATION_MAX ((uint64_t)1 << 53)

/* A counter of a TPM that tells an old copy of the whole store from the current one: value is the
 * counter's, or one more until it has been incremented. */
typedef struct RollbackCounter {
    bool present;
    Tpm2Counter tpm;
    uint64_t value;
} RollbackCounter;

/* The body of header.json. */
typedef struct Header {
    char id[HEADER_ID_SIZE];
    uint64_t generation;
    json_object *slots; /* array of objects */
    uint64_t shards[STORE_SHARDS];
    RollbackCounter counter;
    /* Tells one copy for a boot image from all others; empty in the store itself. */
    char image[HEADER_ID_SIZE];
} Header;

/* Room for the label of the MAC of a shard. */
#define HEADER_SHARD_LABEL_SIZE (sizeof("nvme-keyd shard ") + HEADER_ID_SIZE)

/* Frees what header owns. */
void header_done(Header *header);

/* Parses a body that need not be authentic yet: its slots lead to the key that tells.
 * Returns -EBADMSG, -EPROTONOSUPPORT (a newer version), -ENOMEM. */
int header_parse(const char *body, size_t size, Header *ret) _must_check_;

/* Parses an object with the members of a counter and its value; a NULL object is none. Returns
 * -EBADMSG. */
int rollback_counter_parse(json_object *object, RollbackCounter *ret) _must_check_;
/* Makes that object; NULL for none. Returns -ENOMEM, -EINVAL. */
int rollback_counter_format(const RollbackCounter *counter, json_object **ret) _must_check_;

/* The label of the MAC of its shards: those of a copy fit neither the store nor another copy. */
void header_shard_label(const Header *header, char ret[static HEADER_SHARD_LABEL_SIZE]);

/* Makes the body, without a newline, to be freed. Returns -ENOMEM. */
int header_format(const Header *header, char **ret) _must_check_;
