/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "nvme-keyd/keys/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A larger payload would only have more of the same items. */
#define PAYLOAD_MAX 4096

/* A result lies inside the payload, after its tag and its size, and has one of two sizes. */
static void check_found(const Secret *payload, char tag, int r, const uint8_t *bytes, size_t size)
{
    if (r == 0) {
        size_t offset = (size_t)(bytes - payload->data);

        if (bytes < payload->data || offset < 2 || offset + size > payload->size ||
            (size != 32 && size != 48) || bytes[-1] != size || bytes[-2] != (uint8_t)tag)
            abort();
    } else if ((r != -ENOENT && r != -EBADMSG) || bytes || size != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *payload = NULL;

    if (size > PAYLOAD_MAX)
        return 0;
    payload = secret_new_copy(data, size);
    if (!payload)
        return 0;
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        const uint8_t *bytes = NULL;
        size_t n = 0;
        int r = key_payload_tls_psk(payload, v, &bytes, &n);

        check_found(payload, (char)('0' + (int)v), r, bytes, n);
    }
    const uint8_t *bytes = NULL;
    size_t n = 0;
    int r = key_payload_configured(payload, &bytes, &n);

    check_found(payload, 'C', r, bytes, n);
    return 0;
}
