/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basic/limits.h"
#include "nvme-keyd/config/time-text.h"

/* A time on the command line: each result, written as a date, is parsed as itself. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (1796119200 * USEC_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(freep) char *text = strndup((const char *)data, size);
    uint64_t usec = 1, again = 0;
    char date[64];
    struct tm tm;
    time_t t;

    if (!text || time_parse(text, NOW, &usec) < 0) {
        if (usec != 1)
            abort();
        return 0;
    }
    if (usec == TIME_NEVER)
        return 0;
    if (usec > INT64_MAX)
        abort();
    t = (time_t)(usec / USEC_PER_SEC);
    if (!gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900)
        return 0;
    if (strftime(date, sizeof(date), "%a %Y-%m-%d %H:%M:%S UTC", &tm) == 0 ||
        time_parse(date, NOW, &again) < 0 || again != (uint64_t)t * USEC_PER_SEC)
        abort();
    return 0;
}
