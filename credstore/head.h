/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/aead.h"
#include "credstore/header.h"

/*
 * The head of a store: line 1 is the header, line 2 the index, which lists all records, and line 3
 * the MAC of both.
 */

/* One record in the index. */
typedef struct IndexEntry {
    uint64_t id;
    uint64_t generation;
} IndexEntry;

/* Parses line 2; ids must ascend. Returns -EBADMSG, -ENOMEM. */
int index_parse(const char *line, size_t size, IndexEntry **ret, size_t *ret_n) _must_check_;

/* The lines of the head in the text of a store. */
typedef struct Head {
    size_t header_size; /* line 1, without its newline */
    size_t index_size;  /* line 2, likewise; it starts after that newline */
    size_t size;        /* all three lines: here the records begin */
    uint8_t mac[SEAL_MAC_SIZE];
} Head;

/* Returns -EBADMSG unless there are three complete lines, the first at most STORE_HEADER_MAX long.
 */
int head_split(const char *text, size_t size, Head *ret) _must_check_;

/* Returns -EBADMSG if the head is not authentic. */
int head_verify(Sealer *s, const Secret *key, const char *text, const Head *head) _must_check_;

/* Formats the three lines, to be freed. Returns -E2BIG (line 1 is too long), -ENOMEM, -EIO. */
int head_format(Sealer *s, const Secret *key, const Header *header, const IndexEntry *entries,
                size_t n, char **ret, size_t *ret_size) _must_check_;
