/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "credstore/limits.h"
#include "credstore/store-private.h"

/* The file of a store under a key of zeros. The input follows a head that lists the records 1, 2
 * and 3 of generation 1; its first byte says which pieces the disk cannot read. Every listed record
 * must be there, sound or with an error, and a sound one must stay so when the file is written
 * again. */

#define N 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_text(Store *s, const uint8_t *data, size_t size)
{
    static const IndexEntry entries[N] = {{1, 1}, {2, 1}, {3, 1}};
    _cleanup_(freep) char *head = NULL;
    size_t head_size;

    if (head_format(s->sealer, s->key, &s->header, entries, N, &head, &head_size) < 0)
        abort();
    s->text.size = head_size + size;
    s->text.data = malloc(s->text.size + 1);
    if (!s->text.data || head_split(head, head_size, &s->head) < 0)
        abort();
    memcpy(s->text.data, head, head_size);
    memcpy(s->text.data + head_size, data, size);
}

static void add_holes(Store *s, uint8_t which)
{
    size_t piece = (s->text.size - s->head.size) / 8 + 1;

    s->text.holes = calloc(8, sizeof(*s->text.holes));
    if (!s->text.holes)
        abort();
    for (size_t i = 0, start = s->head.size; i < 8 && start < s->text.size; i++, start += piece) {
        size_t end = CONST_MIN(s->text.size, start + piece);

        if (!(which >> i & 1))
            continue;
        memset(s->text.data + start, 0, end - start);
        s->text.holes[s->text.n_holes++] = (FileHole){start, end};
    }
}

static void load(Store *s)
{
    if (store_load(s) < 0)
        abort();
    for (size_t i = 0; i < s->n_records; i++)
        if ((i > 0 && s->records[i - 1]->number >= s->records[i]->number) ||
            (s->records[i]->public.error == 0) != (s->records[i]->public.meta != NULL))
            abort();
    for (uint64_t id = 1; id <= N; id++)
        if (!store_find_record(s, id))
            abort();
}

/* Writes the store to memory. */
static void write_again(const Store *s, uint8_t **ret, size_t *ret_size)
{
    uint8_t *text;
    size_t size = 0;

    for (size_t i = 0; i < s->n_records; i++)
        size += s->records[i]->size;
    *ret = text = malloc(size + 1);
    if (!text)
        abort();
    *ret_size = size;
    for (size_t i = 0; i < s->n_records; i++)
        text = (uint8_t *)mempcpy(text, s->records[i]->text, s->records[i]->size);
}

static void store_make(Store *s)
{
    *s = (Store){.dirfd = -EBADF, .key = secret_new(STORE_KEY_SIZE)};
    s->header.slots = json_object_new_array();
    if (!s->key || !s->header.slots || sealer_new(&s->sealer) < 0)
        abort();
}

static void store_empty(Store *s)
{
    store_forget_records(s);
    file_text_done(&s->text);
    header_done(&s->header);
    secret_free(s->key);
    sealer_free(s->sealer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) uint8_t *text = NULL;
    Store a, b;
    size_t n;

    if (size == 0 || size > 4 * STORE_RECORD_MAX)
        return 0;
    store_make(&a);
    make_text(&a, data + 1, size - 1);
    add_holes(&a, data[0]);
    load(&a);
    write_again(&a, &text, &n);

    store_make(&b);
    make_text(&b, text, n);
    load(&b);
    for (uint64_t id = 1; id <= N; id++)
        if (store_find_record(&a, id)->public.error == 0 &&
            store_find_record(&b, id)->public.error < 0)
            abort();
    store_empty(&a);
    store_empty(&b);
    return 0;
}
