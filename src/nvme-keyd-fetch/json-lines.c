/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyd-fetch/json-lines.h"

/* Most lines fit into this; a longer one doubles it. */
#define FIRST_CAPACITY ((size_t)4096)

static int append(JsonLines *l, const char *data, size_t size)
{
    size_t capacity = l->capacity > 0 ? l->capacity : FIRST_CAPACITY;
    char *p;

    if (size > l->max - l->size)
        return -EFBIG;
    while (capacity < l->size + size)
        capacity = CONST_MIN(2 * capacity, l->max);
    if (capacity > l->capacity) {
        p = realloc(l->data, capacity);
        if (!p)
            return -ENOMEM;
        l->data = p;
        l->capacity = capacity;
    }
    memcpy(l->data + l->size, data, size);
    l->size += size;
    return 0;
}

int json_lines_feed(JsonLines *l, const char *data, size_t size, JsonLineFn fn, void *userdata)
{
    while (size > 0) {
        const char *end = memchr(data, '\n', size);
        size_t part = end ? (size_t)(end - data) : size;
        int r = part > 0 ? append(l, data, part) : 0;

        if (r < 0)
            return r;
        if (!end)
            return 0;
        if (l->size > 0)
            r = fn(l->data, l->size, userdata);
        /* A long line was an exception, so its memory is not kept. */
        if (l->capacity > FIRST_CAPACITY)
            json_lines_reset(l);
        l->size = 0;
        if (r < 0)
            return r;
        data += part + 1;
        size -= part + 1;
    }
    return 0;
}

bool json_lines_is_inside(const JsonLines *l)
{
    return l->size > 0;
}

void json_lines_reset(JsonLines *l)
{
    free(l->data);
    *l = (JsonLines){.max = l->max};
}
