/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd-fetch/json-lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 64

/* The lines of a stream, joined again. */
typedef struct Joined {
    char text[8192];
    size_t size;
} Joined;

static int on_line(const char *line, size_t size, void *userdata)
{
    Joined *j = userdata;

    if (size == 0 || size > LINE_MAX_BYTES || memchr(line, '\n', size))
        abort();
    memcpy(j->text + j->size, line, size);
    j->size += size;
    j->text[j->size++] = '\n';
    return 0;
}

static int feed(const uint8_t *data, size_t size, size_t step, Joined *ret)
{
    JsonLines l = {.max = LINE_MAX_BYTES};
    int r = 0;

    ret->size = 0;
    for (size_t at = 0; r == 0 && at < size; at += step) {
        r = json_lines_feed(&l, (const char *)data + at, CONST_MIN(step, size - at), on_line, ret);
        if (l.size > LINE_MAX_BYTES)
            abort();
    }
    json_lines_reset(&l);
    return r;
}

/* Where a stream is cut makes no difference. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Joined whole, parts;
    int r;

    if (size > sizeof(whole.text) / 2)
        return 0;
    r = feed(data, size, size + 1, &whole);
    for (size_t step = 1; step < 9; step += 3)
        if (feed(data, size, step, &parts) != r || parts.size != whole.size ||
            memcmp(parts.text, whole.text, whole.size) != 0)
            abort();
    return 0;
}
