/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "credstore/seal/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A request as the helper receives it; it is not carried out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(seal_request_done) UnpackedRequest u = {.type = NULL};
    int r = seal_request_unpack(data, size, &u);

    if (r != 0 && r != -EBADMSG && r != -ENOMEM)
        abort();
    return 0;
}
