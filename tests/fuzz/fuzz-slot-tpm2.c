/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "basic/json.h"
#include "credstore/tpm2-slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A slot that parses is written again as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"srkName", "bank", "pcrs", "public", "private"};
    _cleanup_(json_putp) json_object *object = NULL, *again = json_object_new_object();
    Tpm2Slot slot;

    if (json_parse((const char *)data, size, 4, &object) < 0 || tpm2_slot_parse(object, &slot) < 0)
        return 0;
    if (tpm2_slot_format(&slot, again) < 0)
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!json_object_equal(json_object_object_get(object, keys[i]),
                               json_object_object_get(again, keys[i])))
            abort();
    return 0;
}
