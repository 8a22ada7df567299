/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "basic/macro.h"
#include "tree.h"

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
                      _unused_ struct FTW *ftw)
{
    return remove(path);
}

void tree_remove(const char *path)
{
    if (path[0])
        (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int tree_read(const char *path, char **ret, size_t *ret_size)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_(freep) char *data = NULL;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    data = calloc(1, (size_t)st.st_size + 1);
    if (!data)
        return -ENOMEM;
    for (ssize_t n, have = 0; have < st.st_size; have += n) {
        n = read(fd, data + have, (size_t)(st.st_size - have));
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
    }
    *ret = TAKE_PTR(data);
    *ret_size = (size_t)st.st_size;
    return 0;
}

/* nftw(3) passes no argument to its function. */
static const char *copy_from, *copy_to;

static int copy_one(const char *path, const struct stat *st, _unused_ int type,
                    _unused_ struct FTW *ftw)
{
    _cleanup_(closep) int fd = -EBADF;
    _cleanup_(freep) char *data = NULL;
    char to[256];
    size_t size;

    snprintf(to, sizeof(to), "%s%s", copy_to, path + strlen(copy_from));
    if (S_ISDIR(st->st_mode))
        return mkdir(to, 0700);
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 || tree_read(path, &data, &size) < 0 || io_write_all(fd, data, size) < 0;
}

int tree_copy(const char *from, const char *to)
{
    copy_from = from;
    copy_to = to;
    return nftw(from, copy_one, 16, FTW_PHYS) == 0 ? 0 : -EIO;
}
