/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "credstore/file.h"
#include "credstore/limits.h"
#include "credstore/staged.h"

#define STAGED_DIR "restore"
#define STAGED_STORE STAGED_DIR "/" FILE_STORE
/* The store that a restored one has replaced; a further one has a number. */
#define KEPT_NAME "store.replaced"
#define KEPT_SIZE (sizeof(KEPT_NAME) + 4)

/* Returns a descriptor, or an error of open(2). */
static int open_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int begin(int dirfd)
{
    if (mkdirat(dirfd, STAGED_DIR, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (unlinkat(dirfd, STAGED_STORE, 0) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int staged_write(const char *dir, uint64_t offset, const void *data, size_t size)
{
    _cleanup_(closep) int dirfd = open_dir(dir), fd = -EBADF;
    struct stat st;
    int r = dirfd < 0 ? dirfd : offset == 0 ? begin(dirfd) : 0;

    if (r < 0)
        return r;
    if (offset > STORE_FILE_MAX || size > STORE_FILE_MAX - offset)
        return -EFBIG;
    fd = openat(dirfd, STAGED_STORE,
                O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW |
                    (offset == 0 ? O_CREAT | O_EXCL : 0),
                0600);
    if (fd < 0)
        return errno == ENOENT ? -ESPIPE : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size != offset)
        return -ESPIPE;
    return io_write_all(fd, data, size);
}

int staged_attach(const char *dir, Store **ret, char **reterr_detail)
{
    _cleanup_(freep) char *path = NULL;

    if (asprintf(&path, "%s/" STAGED_DIR, dir) < 0)
        return -ENOMEM;
    return store_attach(path, ret, reterr_detail);
}

/* Gives the store a second name. Returns 1, or 0 if there is no store. */
static int keep(int dirfd, char ret[static KEPT_SIZE])
{
    for (int n = 1; n <= STAGED_KEPT_MAX; n++) {
        (void)snprintf(ret, KEPT_SIZE, n == 1 ? KEPT_NAME : KEPT_NAME ".%d", n);
        if (linkat(dirfd, FILE_STORE, dirfd, ret, 0) == 0)
            return 1;
        if (errno != EEXIST)
            return errno == ENOENT ? 0 : -errno;
    }
    return -EMLINK;
}

/* Removes the second name, unless it is the only one: the old store could not be put back. */
static void forget_kept(int dirfd, const char *kept)
{
    struct stat st;

    if (fstatat(dirfd, kept, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1)
        (void)unlinkat(dirfd, kept, 0);
}

static int sync_staged(int dirfd)
{
    _cleanup_(closep) int fd = openat(dirfd, STAGED_STORE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The state after a rename that could not be synced is uncertain, so the old one is put back. */
static int replace(int dirfd, const char *kept)
{
    int r;

    if (renameat(dirfd, STAGED_STORE, dirfd, FILE_STORE) < 0)
        return -errno;
    r = io_sync_dir(dirfd);
    if (r < 0 &&
        (kept ? renameat(dirfd, kept, dirfd, FILE_STORE) : unlinkat(dirfd, FILE_STORE, 0)) == 0)
        (void)!io_sync_dir(dirfd);
    return r;
}

int staged_install(const char *dir, char **ret_kept)
{
    _cleanup_(closep) int dirfd = open_dir(dir);
    _cleanup_(freep) char *path = NULL;
    char kept[KEPT_SIZE];
    int r = dirfd < 0 ? dirfd : sync_staged(dirfd), was_there;

    if (r < 0)
        return r;
    was_there = keep(dirfd, kept);
    if (was_there < 0)
        return was_there;
    if (was_there && asprintf(&path, "%s/%s", dir, kept) < 0)
        r = -ENOMEM;
    /* The other name must be on the disk before the first one is taken away. */
    if (r == 0)
        r = io_sync_dir(dirfd);
    if (r == 0)
        r = replace(dirfd, was_there ? kept : NULL);
    if (r == 0)
        *ret_kept = was_there ? TAKE_PTR(path) : NULL;
    else if (was_there)
        forget_kept(dirfd, kept);
    return r;
}

void staged_forget(const char *dir)
{
    _cleanup_(closep) int dirfd = open_dir(dir);

    if (dirfd < 0)
        return;
    (void)unlinkat(dirfd, STAGED_STORE, 0);
    (void)unlinkat(dirfd, STAGED_DIR "/" FILE_NEW, 0);
    (void)unlinkat(dirfd, STAGED_DIR, AT_REMOVEDIR);
}
