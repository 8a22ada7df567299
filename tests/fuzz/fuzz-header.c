/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "credstore/commit.h"
#include "credstore/header.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"

/* The three kinds of signed files: header, index shard and commit. What parses can be written
 * again, and that parses to the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void header(const char *body, size_t size)
{
    _cleanup_(header_done) Header a = {.generation = 0}, b = {.generation = 0};
    _cleanup_(freep) char *text = NULL;

    if (header_parse(body, size, &a) < 0)
        return;
    if (header_format(&a, &text) < 0 || header_parse(text, strlen(text), &b) < 0 ||
        strcmp(a.id, b.id) != 0 || a.generation != b.generation ||
        memcmp(a.shards, b.shards, sizeof(a.shards)) != 0)
        abort();
}

static void shard(const char *body, size_t size)
{
    static const char key[] = "\"shard\":";
    const char *p = memmem(body, size, key, strlen(key)), *digits = p ? p + strlen(key) : NULL;
    unsigned number = 0;

    for (; digits && digits < body + size && *digits >= '0' && *digits <= '9'; digits++)
        number = (number * 10 + (unsigned)(*digits - '0')) % STORE_SHARDS;

    _cleanup_(shard_done) Shard a = {.number = 0}, b = {.number = 0};
    _cleanup_(freep) char *text = NULL;

    if (shard_parse(body, size, number, &a) < 0)
        return;
    if (shard_format(&a, &text) < 0 || shard_parse(text, strlen(text), number, &b) < 0 ||
        a.generation != b.generation || a.n_entries != b.n_entries ||
        memcmp(a.entries, b.entries, a.n_entries * sizeof(*a.entries)) != 0)
        abort();
}

static void commit(const char *body, size_t size)
{
    _cleanup_(commit_plan_done) CommitPlan a = {.generation = 0}, b = {.generation = 0};
    _cleanup_(freep) char *text = NULL;

    if (commit_plan_parse(body, size, &a) < 0)
        return;
    if (commit_plan_format(&a, &text) < 0 || commit_plan_parse(text, strlen(text), &b) < 0 ||
        a.generation != b.generation || a.shards != b.shards || a.n_replace != b.n_replace ||
        a.n_remove != b.n_remove)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    uint8_t mac[SEAL_MAC_SIZE];
    size_t body_size = size;

    if (size > STORE_HEADER_MAX)
        return 0;

    (void)!signed_file_split(text, size, &body_size, mac);
    header(text, body_size);
    shard(text, body_size);
    commit(text, body_size);
    return 0;
}
