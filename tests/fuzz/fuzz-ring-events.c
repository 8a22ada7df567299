/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "keyring/ring-events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 0x1234

/* News are never lost: a record more, or another ring, takes away none of what was found. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int r = ring_events_parse(data, size, RING), other = ring_events_parse(data, size, RING + 1);

    if (r != -EBADMSG && (r < RING_NO_NEWS || r > RING_GONE))
        abort();
    /* Whether a record makes sense does not depend on the ring. */
    if ((r == -EBADMSG) != (other == -EBADMSG))
        abort();
    /* A record has at least 8 bytes, so this much has no end. */
    if (size % 8 != 0 && size < 8 && r != -EBADMSG)
        abort();
    return 0;
}
