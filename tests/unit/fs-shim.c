/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs-shim.h"

Shim shim;

void shim_inject(int from, int n, int error)
{
    shim.calls = 0;
    shim.from = from;
    shim.n = n;
    shim.error = error;
}

static bool shim_fails(void)
{
    shim.calls++;
    if (shim.from == 0 || shim.calls < shim.from || shim.calls >= shim.from + shim.n)
        return false;
    errno = shim.error;
    return true;
}

static bool shim_is_refused(bool changes)
{
    errno = EROFS;
    return shim.read_only && changes;
}

static long shim_done(long result, ShimEvent event)
{
    int error = errno;

    if (result >= 0 && shim.observe)
        shim.observe(&event);
    errno = error;
    return result;
}

int openat(int dirfd, const char *name, int flags, ...)
{
    mode_t mode = 0;
    long fd;

    if (flags & O_CREAT) {
        va_list ap;

        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    if (shim_fails() || shim_is_refused(flags & (O_CREAT | O_WRONLY | O_RDWR)))
        return -1;
    fd = syscall(SYS_openat, dirfd, name, flags, mode);
    return (int)shim_done(fd, (ShimEvent){.call = SHIM_OPEN,
                                          .fd = dirfd,
                                          .name = name,
                                          .opened = (int)fd,
                                          .created = flags & O_CREAT});
}

/* A write that fails has written half of its data. */
ssize_t write(int fd, const void *data, size_t size)
{
    bool failed = fd > STDERR_FILENO && shim_fails();
    int error = errno;
    long n = syscall(SYS_write, fd, data, failed ? size / 2 : size);

    if (failed) {
        errno = error;
        return -1;
    }
    return shim_done(n, (ShimEvent){.call = SHIM_WRITE, .fd = fd, .data = data, .size = (size_t)n});
}

/* With _FORTIFY_SOURCE glibc declares pread() inline, and clang warns; gcc knows no such
 * warning. */
#ifdef __clang__

#endif

/* Reads up to the first unreadable page, as a kernel does; a read that starts there fails. */
ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    size_t from = (size_t)offset / SHIM_PAGE * SHIM_PAGE,
           bad = shim.bad_from / SHIM_PAGE * SHIM_PAGE;

    if (shim.reads && shim_fails())
        return -1;
    if (shim.bad_to > shim.bad_from && from < shim.bad_to && (size_t)offset + size > bad) {
        if (from >= bad) {
            shim.bad_reads++;
            errno = EIO;
            return -1;
        }
        size = bad - (size_t)offset;
    }
    return syscall(SYS_pread64, fd, data, size, offset);
}

int linkat(int from, const char *name, int to, const char *new_name, int flags)
{
    if (shim_fails() || shim_is_refused(true))
        return -1;
    return (int)shim_done(syscall(SYS_linkat, from, name, to, new_name, flags),
                          (ShimEvent){.call = SHIM_LINK, .fd = from, .name = name, .to = new_name});
}

int fsync(int fd)
{
    if (shim_fails())
        return -1;
    return (int)shim_done(syscall(SYS_fsync, fd), (ShimEvent){.call = SHIM_SYNC, .fd = fd});
}

int syncfs(int fd)
{
    if (shim_fails())
        return -1;
    return (int)shim_done(syscall(SYS_syncfs, fd), (ShimEvent){.call = SHIM_SYNC_FS, .fd = fd});
}

int renameat(int from, const char *name, int to, const char *new_name)
{
    if (shim_fails() || shim_is_refused(true))
        return -1;
    return (int)shim_done(
        syscall(SYS_renameat2, from, name, to, new_name, 0),
        (ShimEvent){.call = SHIM_RENAME, .fd = from, .name = name, .to = new_name});
}

int unlinkat(int dirfd, const char *name, int flags)
{
    if (shim_fails() || shim_is_refused(true))
        return -1;
    return (int)shim_done(syscall(SYS_unlinkat, dirfd, name, flags),
                          (ShimEvent){.call = SHIM_UNLINK, .fd = dirfd, .name = name});
}

int mkdirat(int dirfd, const char *name, mode_t mode)
{
    if (shim_fails() || shim_is_refused(true))
        return -1;
    return (int)shim_done(syscall(SYS_mkdirat, dirfd, name, mode),
                          (ShimEvent){.call = SHIM_MKDIR, .fd = dirfd, .name = name});
}
