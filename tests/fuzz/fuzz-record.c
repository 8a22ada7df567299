/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>

#include "basic/json.h"
#include "credstore/limits.h"
#include "credstore/record.h"
#include "credstore/seal/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Loads data as the record that the index lists with this generation, under a key of zeros. */
static void load(Sealer *s, const Secret *key, uint64_t generation, const char *text, size_t size)
{
    _cleanup_(record_freep) Record *record = NULL;
    _cleanup_(secret_freep) Secret *secret = NULL;

    if (record_load(s, key, 0x0123456789abcdef, generation, text, size, &record) < 0)
        abort();
    if ((record->public.error == 0) != (record->public.meta != NULL))
        abort();
    if (record_unseal(s, key, record, &secret) != record->public.error)
        abort();
    if (record->public.error == 0) {
        _cleanup_(freep) char *again = NULL;
        size_t again_size;

        /* No two texts are the same record. */
        if (record_format(record, &again, &again_size) < 0 || again_size != size ||
            memcmp(again, text, size) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *key = secret_new(STORE_KEY_SIZE);
    _cleanup_(sealer_freep) Sealer *s = NULL;
    _cleanup_(json_putp) json_object *meta = NULL;
    const char *text = (const char *)data;
    uint64_t id, generation;

    if (size > STORE_RECORD_MAX)
        return 0;
    if (!key || sealer_new(&s) < 0)
        abort();

    (void)!record_parse_line(text, size, &id, &generation, &meta);
    load(s, key, 1, text, size);
    load(s, key, 2, text, size);
    return 0;
}
