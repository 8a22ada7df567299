/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "psk/interchange.h"
#include "psk/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An accepted text is canonical: formatting its key gives the same text. */
static void check_accepted(const char *text, size_t length, PskHash hash, const Secret *key)
{
    _cleanup_(secret_freep) Secret *again = NULL;

    if (length > PSK_INTERCHANGE_MAX || hash > PSK_HASH_SHA384 ||
        psk_interchange_format(hash, key, &again) != 0 || again->size != length + 1 ||
        memcmp(again->data, text, length) != 0)
        abort();
}

/* The faults of an interchange text that is too short, or too long. */
static bool is_fault(int r)
{
    return (r >= PSK_E_PREFIX && r <= PSK_E_HASH_LENGTH) || r == PSK_E_MARK || r == PSK_E_QUOTES ||
           r == PSK_E_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    const char *text = (const char *)data;
    PskHash hash;
    int r = psk_interchange_parse(text, size, &hash, &key);

    if (r == 0)
        check_accepted(text, size, hash, key);
    else if (!is_fault(r) || key)
        abort();
    return 0;
}
