/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/header.h"

/* The body of index/SS.json: which records there are, each with its generation. */

typedef struct ShardEntry {
    uint64_t id;
    uint64_t generation;
} ShardEntry;

typedef struct Shard {
    unsigned number;
    uint64_t generation;
    ShardEntry *entries; /* in the order of their ids */
    size_t n_entries;
} Shard;

/* The shard a record belongs to: the upper six bits of its id. */
static inline unsigned shard_of(uint64_t id)
{
    return (unsigned)(id >> 58);
}

/* The lowest id that belongs to a shard. */
static inline uint64_t shard_first_id(unsigned number)
{
    return (uint64_t)number << 58;
}

/* Frees what shard owns. */
void shard_done(Shard *shard);

/* Returns -EBADMSG, also for another number than asked for, or -ENOMEM. */
int shard_parse(const char *body, size_t size, unsigned number, Shard *ret) _must_check_;

/* Makes the body, without a newline, to be freed. Returns -ENOMEM. */
int shard_format(const Shard *shard, char **ret) _must_check_;
