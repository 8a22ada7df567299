/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd/keys/key.h"

/* The metadata of a record: an accepted text is the one that its key is written as. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    _cleanup_(freep) char *again = NULL;
    _cleanup_(key_freep) Key *k = NULL;
    int r = key_from_meta(text, size, &k);

    if (r < 0) {
        if (r != -EBADMSG || k)
            abort();
        return 0;
    }
    again = key_to_meta(k);
    if (!again || strlen(again) != size || memcmp(again, text, size) != 0)
        abort();
    return 0;
}
