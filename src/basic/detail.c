/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "basic/detail.h"

int detail_set(char **reterr_detail, int error, const char *format, ...)
{
    char *line = NULL;
    va_list ap;

    if (!reterr_detail)
        return error;

    va_start(ap, format);
    if (vasprintf(&line, format, ap) < 0)
        line = NULL;
    va_end(ap);

    free(*reterr_detail);
    *reterr_detail = line;
    return error;
}

void detail_append(char **detail, const char *line)
{
    _cleanup_(freep) char *before = *detail;

    *detail = NULL;
    (void)detail_set(detail, 0, "%s%s%s", before ? before : "", before ? "\n" : "", line);
}
