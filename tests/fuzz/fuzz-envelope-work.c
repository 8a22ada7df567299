/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "nvme-keyd/envelopes/work.h"

/* A request to the child process that opens envelopes, without a key and with one that is none. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *none = secret_new(0), *key = secret_new_copy(data, size % 128);

    for (int i = 0; i < 2 && none && key; i++) {
        _cleanup_(secret_freep) Secret *output = NULL;
        _cleanup_(freep) char *detail = NULL;
        int r = envelope_work(i == 0 ? none : key, data, size, &output, &detail);

        if (r == 0 && !output)
            abort();
    }
    return 0;
}
