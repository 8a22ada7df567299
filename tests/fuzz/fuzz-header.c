/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/head.h"
#include "credstore/limits.h"

/* The head of a store, as it is parsed before it is authenticated. A head that parses can be
 * written, and that parses to the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(const char *text, size_t size)
{
    _cleanup_(header_done) Header a = {.generation = 0}, b = {.generation = 0};
    _cleanup_(freep) char *again = NULL;

    if (header_parse(text, size, &a) < 0)
        return;
    if (header_format(&a, &again) < 0 || header_parse(again, strlen(again), &b) < 0 ||
        strcmp(a.id, b.id) != 0 || strcmp(a.image, b.image) != 0 || a.generation != b.generation ||
        a.n_orphans != b.n_orphans || a.counter.value != b.counter.value ||
        !json_object_equal(a.slots, b.slots))
        abort();
}

/* An index has one form only. */
static void check_index(const char *text, size_t size)
{
    _cleanup_(header_done) Header header = {.slots = json_object_new_array()};
    _cleanup_(secret_freep) Secret *key = secret_new(STORE_KEY_SIZE);
    _cleanup_(freep) IndexEntry *entries = NULL;
    _cleanup_(sealer_freep) Sealer *s = NULL;
    _cleanup_(freep) char *again = NULL;
    size_t n, again_size;
    Head head;

    if (index_parse(text, size, &entries, &n) < 0)
        return;
    if (!key || sealer_new(&s) < 0 ||
        head_format(s, key, &header, entries, n, &again, &again_size) < 0 ||
        head_split(again, again_size, &head) < 0 || head.size != again_size ||
        head_verify(s, key, again, &head) < 0 || head.index_size != size ||
        memcmp(again + head.header_size + 1, text, size) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *newline = memchr(text, '\n', size);
    Head head;

    if (size > STORE_HEADER_MAX)
        return 0;
    if (head_split(text, size, &head) == 0) {
        check_header(text, head.header_size);
        check_index(text + head.header_size + 1, head.index_size);
    }
    check_header(text, newline ? (size_t)(newline - text) : size);
    if (newline)
        check_index(newline + 1, size - (size_t)(newline + 1 - text));
    check_index(text, size);
    return 0;
}
