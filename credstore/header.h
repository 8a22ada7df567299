/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

#define STORE_SHARDS 64
/* 128 random bits as hex and a NUL. */
#define HEADER_ID_SIZE 33
/* Every number in the format is exact in a reader that only has doubles. */
#define GENERATION_MAX ((uint64_t)1 << 53)

/* The body of header.json. */
typedef struct Header {
    char id[HEADER_ID_SIZE];
    uint64_t generation;
    json_object *slots; /* array of objects */
    uint64_t shards[STORE_SHARDS];
} Header;

/* Frees what header owns. */
void header_done(Header *header);

/* Parses a body that need not be authentic yet: its slots lead to the key that tells.
 * Returns -EBADMSG, -EPROTONOSUPPORT (a newer version), -ENOMEM. */
int header_parse(const char *body, size_t size, Header *ret) _must_check_;

/* Makes the body, without a newline, to be freed. Returns -ENOMEM. */
int header_format(const Header *header, char **ret) _must_check_;
