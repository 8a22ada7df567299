/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "basic/json.h"
#include "credstore/seal/tpm2/counter.h"
#include "credstore/seal/tpm2/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A parsed slot is written with the same members. */
static void expect_same(json_object *object, json_object *again, const char *const *keys)
{
    for (; *keys; keys++)
        if (!json_object_equal(json_object_object_get(object, *keys),
                               json_object_object_get(again, *keys)))
            abort();
}

static void check_slot(json_object *object)
{
    static const char *const keys[] = {"srkName", "bank", "pcrs", "public", "private", NULL};
    _cleanup_(json_putp) json_object *again = json_object_new_object();
    Tpm2Object slot;

    if (tpm2_object_parse(object, &slot) < 0)
        return;
    if (tpm2_object_format(&slot, again) < 0)
        abort();
    expect_same(object, again, keys);
}

static void check_counter(json_object *object)
{
    static const char *const keys[] = {"nvIndex", "nvName", "srkName", NULL};
    _cleanup_(json_putp) json_object *again = json_object_new_object();
    Tpm2Counter counter;

    if (tpm2_counter_parse(object, &counter) < 0)
        return;
    if (tpm2_counter_format(&counter, again) < 0)
        abort();
    expect_same(object, again, keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(json_putp) json_object *object = NULL;

    if (json_parse((const char *)data, size, 4, &object) < 0)
        return 0;
    check_slot(object);
    check_counter(object);
    return 0;
}
