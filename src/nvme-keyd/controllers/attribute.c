/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/attribute.h"

bool attribute_is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -ENOTDIR ||
           error == -ENODATA;
}

int attribute_read_serial(int dirfd, const char *path, int32_t *ret)
{
    char text[16], *end;
    unsigned long serial;
    int r = io_read_line_at(dirfd, path, text, sizeof(text));

    *ret = 0;
    if (r < 0)
        return r == -ENODATA || r == -ENOBUFS ? 0 : r;
    serial = strtoul(text, &end, 16);
    if (*end == '\0' && serial <= INT32_MAX)
        *ret = (int32_t)serial;
    return 0;
}

/* The rest after a letter and a number, or NULL. */
static const char *after_number(const char *p, char letter)
{
    size_t digits = *p == letter ? strspn(p + 1, "0123456789") : 0;

    return digits > 0 ? p + 1 + digits : NULL;
}

bool attribute_is_namespace(const char *name)
{
    const char *p = text_after(name, "nvm"), *next;

    p = p ? after_number(p, 'e') : NULL;
    if (p && (next = after_number(p, 'c')))
        p = next;
    p = p ? after_number(p, 'n') : NULL;
    return p && *p == '\0';
}

DIR *attribute_open_dir(int dirfd, const char *name)
{
    _cleanup_(closep) int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (d)
        fd = -EBADF;
    return d;
}
