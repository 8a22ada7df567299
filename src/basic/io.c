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

/* A file of one line; those of sysfs claim this size. */
#define TEXT_MAX 4096

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

int io_read_text_at(int dirfd, const char *path, char *ret, size_t size)
{
    _cleanup_(closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t have = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    /* Files of proc claim to be empty, so only the end counts. */
    for (;;) {
        ssize_t n = read(fd, ret + have, size - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        have += (size_t)n;
        if (have == size)
            return -EFBIG;
        if (n == 0)
            break;
    }
    ret[have] = '\0';
    return 0;
}

int io_read_line(const char *path, char *ret, size_t size)
{
    return io_read_line_at(AT_FDCWD, path, ret, size);
}

int io_read_line_at(int dirfd, const char *path, char *ret, size_t size)
{
    char text[TEXT_MAX + 1];
    const char *line;
    size_t length;
    int r = io_read_text_at(dirfd, path, text, sizeof(text));

    if (r < 0)
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

int io_read_up_to(int fd, void *ret, size_t size, size_t *ret_size)
{
    size_t have = 0;
    ssize_t n = 1;

    while (n != 0 && have < size) {
        n = read(fd, (uint8_t *)ret + have, size - have);
        if (n < 0 && errno != EINTR)
            return -errno;
        have += n > 0 ? (size_t)n : 0;
    }
    *ret_size = have;
    return 0;
}
