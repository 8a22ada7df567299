/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/text.h"
#include "credstore/limits.h"
#include "credstore/record.h"

/* The line of a record. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same parts make the same line, but for the box, whose nonce is random. */
static void seal_again(Sealer *s, const Secret *key, const Record *record, const Secret *secret)
{
    _cleanup_(freep) char *meta = strndup(record->public.meta, record->public.meta_size);
    _cleanup_(record_freep) Record *again = NULL;
    size_t size = (size_t)(record->public.meta - record->text) + record->public.meta_size;
    int r = meta ? record_new_sealed(s, key, record->number, record->public.generation, meta,
                                     secret, &again)
                 : -ENOMEM;

    /* The store writes no other metadata than a line of UTF-8. */
    if (r == -EINVAL &&
        (strlen(meta) < record->public.meta_size || !utf8_is_valid(meta, record->public.meta_size)))
        return;
    if (r < 0 || again->size != record->size || memcmp(again->text, record->text, size) != 0)
        abort();
}

/* Loads a line as the record that the index lists with this generation, under a key of zeros. */
static void load(Sealer *s, const Secret *key, uint64_t generation, const char *line, size_t size)
{
    _cleanup_(record_freep) Record *record = NULL;
    _cleanup_(secret_freep) Secret *secret = NULL;
    uint64_t other;
    int r = record_load(s, key, 0x0123456789abcdef, generation, line, size, &other, &record);

    if (r < 0) {
        if (r != -EBADMSG && (r != -ESTALE || other == generation))
            abort();
        return;
    }
    /* Each record has one line only, and an authentic line is one that we wrote. */
    if (record->size != size + 1 || memcmp(record->text, line, size) != 0 ||
        record->text[size] != '\n' || record_unseal(s, key, record, &secret) < 0)
        abort();
    seal_again(s, key, record, secret);
}

/* The line has its parts at the given places, and nothing else. */
static void check_parts(const char *line, size_t size)
{
    RecordLine read;
    uint64_t id;

    if (!record_scan(line, size, &read))
        return;
    if (!record_scan_id(line, size, &id) || id != read.id || read.generation == 0 ||
        read.meta + read.meta_size != line + read.public_size || read.box <= read.meta ||
        read.box + read.box_size + 1 != line + size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *key = secret_new(STORE_KEY_SIZE);
    _cleanup_(sealer_freep) Sealer *s = NULL;
    const char *line = (const char *)data;

    if (size > STORE_RECORD_MAX)
        return 0;
    if (!key || sealer_new(&s) < 0)
        abort();
    check_parts(line, size);
    load(s, key, 1, line, size);
    load(s, key, 2, line, size);
    return 0;
}
