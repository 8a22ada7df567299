/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/limits.h"
#include "credstore/shard.h"
#include "credstore/signed-file.h"

/* An index shard. What parses can be written again, and that parses to the same; its ids rise and
 * belong to it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The number that the text claims to have: it is the caller who knows which file it is. */
static unsigned claimed_number(const char *text, size_t size)
{
    static const char key[] = "\"shard\":";
    const char *p = memmem(text, size, key, strlen(key)), *end = text + size;
    unsigned number = 0;

    for (p = p ? p + strlen(key) : end; p < end && *p >= '0' && *p <= '9'; p++)
        number = (number * 10 + (unsigned)(*p - '0')) % STORE_SHARDS;
    return number;
}

static void check_entries(const Shard *shard)
{
    for (size_t i = 0; i < shard->n_entries; i++)
        if (shard_of(shard->entries[i].id) != shard->number || shard->entries[i].generation == 0 ||
            shard->entries[i].generation > GENERATION_MAX ||
            (i > 0 && shard->entries[i - 1].id >= shard->entries[i].id))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(shard_done) Shard a = {.number = 0}, b = {.number = 0};
    _cleanup_(freep) char *text = NULL;
    unsigned number = claimed_number((const char *)data, size);
    uint8_t mac[SEAL_MAC_SIZE];
    size_t body_size = size;

    if (size > STORE_SHARD_MAX)
        return 0;

    (void)!signed_file_split((const char *)data, size, &body_size, mac);
    if (shard_parse((const char *)data, body_size, number, &a) < 0)
        return 0;
    check_entries(&a);
    if (shard_format(&a, &text) < 0 || shard_parse(text, strlen(text), number, &b) < 0 ||
        a.generation != b.generation || a.n_entries != b.n_entries ||
        memcmp(a.entries, b.entries, a.n_entries * sizeof(*a.entries)) != 0)
        abort();
    return 0;
}
