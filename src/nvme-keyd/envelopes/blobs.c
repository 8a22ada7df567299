/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "nvme-keyd/envelopes/blobs.h"

size_t blobs_size(const Blob *blobs, size_t n)
{
    size_t size = 0;

    for (size_t i = 0; i < n; i++)
        size += sizeof(uint32_t) + blobs[i].size;
    return size;
}

void blobs_write(uint8_t *p, const Blob *blobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t size = (uint32_t)blobs[i].size;

        memcpy(p, &size, sizeof(size));
        p += sizeof(size);
        if (size > 0)
            memcpy(p, blobs[i].data, size);
        p += size;
    }
}

int blobs_read(const void *data, size_t size, Blob *ret, size_t max)
{
    const uint8_t *p = data, *end = p + size;
    size_t n = 0;

    while (p < end) {
        uint32_t length;

        if (n == max || (size_t)(end - p) < sizeof(length))
            return -EBADMSG;
        memcpy(&length, p, sizeof(length));
        p += sizeof(length);
        if ((size_t)(end - p) < length)
            return -EBADMSG;
        ret[n++] = (Blob){p, length};
        p += length;
    }
    return (int)n;
}
