/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyd/controllers/counters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is read again from its text. */
static void check_key_updates(const KeyUpdates *u)
{
    char text[128];
    int n =
        snprintf(text, sizeof(text), "TlsRxRekeyReceived\t%" PRIu64 "\nTlsRxRekeyOk\t%" PRIu64 "\n",
                 u->received, u->done);
    KeyUpdates again;

    key_updates_parse(text, (size_t)n, &again);
    if (!again.counted || again.received != u->received || again.done != u->done)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long, so that reading past the end is seen. */
    _cleanup_(freep) char *text = malloc(size + (size == 0));
    BlockRequests requests = {7, 7};
    KeyUpdates u;

    if (!text)
        return 0;
    memcpy(text, data, size);
    key_updates_parse(text, size, &u);
    if (u.counted)
        check_key_updates(&u);
    else if (u.received != 0 || u.done != 0 || key_updates_are_open(&u))
        abort();
    if (block_requests_parse(text, size, &requests) < 0 &&
        (requests.completed != 7 || requests.in_flight != 7))
        abort();
    return 0;
}
