/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes pieces of n bytes. */
static unsigned redact_in_pieces(char *text, size_t size, size_t n)
{
    Redact r = {.length = 0};

    for (size_t at = 0; at < size; at += n)
        redact(&r, text + at, CONST_MIN(n, size - at));
    redact_end(&r);
    return r.n_psks;
}

/* Behind a beginning stand asterisks, up to what cannot be a part of a secret. */
static void check_rest(const char *text, size_t size, const char *beginning)
{
    static const char parts[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=:\\";
    size_t n = strlen(beginning);
    const char *p = text, *end = text + size;

    while ((p = memmem(p, (size_t)(end - p), beginning, n))) {
        p += n;
        if (p < end && *p != '\0' && strchr(parts, *p))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly as long, so that reading past the end is seen. */
    _cleanup_(freep) char *whole = malloc(size + (size == 0)), *pieces = malloc(size + (size == 0));
    unsigned n;

    if (!whole || !pieces || size == 0)
        return 0;
    memcpy(whole, data, size);
    memcpy(pieces, data, size);
    n = redact_in_pieces(whole, size, size);
    if (redact_in_pieces(pieces, size, 1 + data[0] % 16) != n || memcmp(whole, pieces, size) != 0)
        abort();
    check_rest(whole, size, "NVMeTLSkey-");
    check_rest(whole, size, "DHHC-1:");
    return 0;
}
