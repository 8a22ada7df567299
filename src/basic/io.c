/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/io.h"
#include "basic/limits.h"

static uint64_t now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_monotonic(void)
{
    return now(CLOCK_MONOTONIC);
}

uint64_t now_realtime(void)
{
    return now(CLOCK_REALTIME);
}

uint64_t now_boottime(void)
{
    return now(CLOCK_BOOTTIME);
}

int io_wait(int fd, short events, uint64_t deadline_usec)
{
    struct pollfd p = {.fd = fd, .events = events};

    /* poll(2) would ignore it and wait. */
    if (fd < 0)
        return -EBADF;
    for (;;) {
        int timeout = -1, n;

        if (deadline_usec > 0) {
            uint64_t t = now_monotonic();

            if (t >= deadline_usec)
                return -ETIMEDOUT;
            /* Milliseconds in an int would overflow; the next round waits for the rest. */
            timeout = deadline_usec - t >= 3600 * USEC_PER_SEC
                          ? 3600 * 1000
                          : (int)((deadline_usec - t + 999) / 1000);
        }
        n = poll(&p, 1, timeout);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

int io_write_all(int fd, const void *data, size_t size)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int read_file_at(int dirfd, const char *name, int flags, size_t max, char **ret,
                        size_t *ret_size)
{
    _cleanup_(closep) int fd =
        openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
    _cleanup_(freep) char *buffer = NULL;
    size_t have = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uint64_t)st.st_size > max)
        return -EFBIG;

    /* One byte for the terminator; a file that grows meanwhile is cut at the size it had. */
    buffer = malloc((size_t)st.st_size + 1);
    if (!buffer)
        return -ENOMEM;
    while (have < (size_t)st.st_size) {
        ssize_t n = read(fd, buffer + have, (size_t)st.st_size - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    buffer[have] = '\0';

    *ret = TAKE_PTR(buffer);
    *ret_size = have;
    return 0;
}

int io_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size)
{
    return read_file_at(dirfd, name, O_NOFOLLOW, max, ret, ret_size);
}

int io_read_line(const char *path, char *ret, size_t size)
{
    _cleanup_(freep) char *text = NULL;
    size_t have, length;
    const char *line;
    int r;

    r = read_file_at(AT_FDCWD, path, 0, 4096, &text, &have);
    if (!text)
        return r;
    line = text + strspn(text, " \t");
    length = strcspn(line, "\r\n");
    while (length > 0 && strchr(" \t", line[length - 1]))
        length--;
    if (length == 0)
        return -ENODATA;
    if (length >= size)
        return -ENOBUFS;
    memcpy(ret, line, length);
    ret[length] = '\0';
    return 0;
}

int io_write_file_at(int dirfd, const char *name, const void *data, size_t size)
{
    _cleanup_(closep) int fd = -EBADF;
    int r;

    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;

    r = io_write_all(fd, data, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        (void)unlinkat(dirfd, name, 0);
    return r;
}

int io_sync_dir(int dirfd)
{
    return fsync(dirfd) < 0 ? -errno : 0;
}
