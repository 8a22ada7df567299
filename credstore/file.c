/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "credstore/file.h"
#include "credstore/limits.h"

/* Size of one read on a healthy disk. */
#define READ_SIZE ((size_t)1 << 20)
/* The page cache reads at least this much, so a bad sector costs no less. */
#define PIECE_SIZE ((size_t)4096)
#define BUFFER_SIZE ((size_t)128 * 1024)

int file_lock_dir(const char *dir, int *ret, char **reterr_detail)
{
    _cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int error = -errno;

        return detail_set(reterr_detail, error, "%s: %s", dir, strerror(-error));
    }
    if (st.st_uid != geteuid())
        return detail_set(reterr_detail, -EPERM, "%s belongs to uid %u, not to %u", dir, st.st_uid,
                          geteuid());
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return detail_set(reterr_detail, -EPERM, "%s has mode %04o, not 0700: others have access",
                          dir, st.st_mode & 07777u);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno == EWOULDBLOCK ? -EBUSY : -errno;

        return detail_set(reterr_detail, error, "%s: %s", dir,
                          error == -EBUSY ? "another process has the store open"
                                          : strerror(-error));
    }

    *ret = TAKE_FD(fd);
    return 0;
}

void file_text_done(FileText *text)
{
    free(text->data);
    free(text->holes);
    *text = (FileText){.data = NULL};
}

/* Extends the last hole if it ends here. */
static int add_hole(FileText *text, size_t start, size_t end)
{
    FileHole *holes;

    if (text->n_holes > 0 && text->holes[text->n_holes - 1].end == start) {
        text->holes[text->n_holes - 1].end = end;
        return 0;
    }
    holes = reallocarray(text->holes, text->n_holes + 1, sizeof(*holes));
    if (!holes)
        return -ENOMEM;
    text->holes = holes;
    text->holes[text->n_holes++] = (FileHole){start, end};
    return 0;
}

/* Reads a range, or up to the end of a file that is shorter by now. Returns the position reached,
 * or -EIO. */
static ssize_t read_range(int fd, char *data, size_t start, size_t end)
{
    while (start < end) {
        ssize_t n = pread(fd, data + start, end - start, (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        start += (size_t)n;
    }
    return (ssize_t)start;
}

/* Reads a range piece by piece; unreadable pieces become holes. Returns as read_range(). */
static ssize_t read_pieces(int fd, FileText *text, size_t start, size_t end)
{
    ssize_t n = (ssize_t)start;

    for (size_t next; start < end; start = next) {
        next = CONST_MIN(end, (start / PIECE_SIZE + 1) * PIECE_SIZE);
        n = read_range(fd, text->data, start, next);
        if (n == -EIO) {
            int r = add_hole(text, start, next);

            if (r < 0)
                return r;
            memset(text->data + start, 0, next - start);
            n = (ssize_t)next;
        }
        if (n < (ssize_t)next)
            break;
    }
    return n;
}

int file_read(int dirfd, FileText *ret)
{
    _cleanup_(closep) int fd =
        openat(dirfd, FILE_STORE, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    _cleanup_(file_text_done) FileText text = {.data = NULL};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uint64_t)st.st_size > STORE_FILE_MAX)
        return -EFBIG;
    text.data = malloc((size_t)st.st_size + 1);
    if (!text.data)
        return -ENOMEM;
    for (size_t end; text.size < (size_t)st.st_size; text.size = end) {
        ssize_t n;

        end = CONST_MIN((size_t)st.st_size, text.size + READ_SIZE);
        n = read_range(fd, text.data, text.size, end);
        if (n == -EIO)
            n = read_pieces(fd, &text, text.size, end);
        if (n < 0)
            return (int)n;
        if ((size_t)n < end) {
            text.size = (size_t)n;
            break;
        }
    }
    *ret = text;
    text = (FileText){.data = NULL};
    return 0;
}

bool file_has_hole(const FileText *text, size_t start, size_t end)
{
    for (size_t i = 0; i < text->n_holes; i++)
        if (text->holes[i].start < end && start < text->holes[i].end)
            return true;
    return false;
}

int file_exists(int dirfd)
{
    if (faccessat(dirfd, FILE_STORE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

int file_writer_new(int dirfd, FileWriter *ret)
{
    _cleanup_(freep) char *buffer = malloc(BUFFER_SIZE);
    int fd;

    if (!buffer)
        return -ENOMEM;
    if (unlinkat(dirfd, FILE_NEW, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(dirfd, FILE_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    *ret = (FileWriter){.dirfd = dirfd, .fd = fd, .buffer = TAKE_PTR(buffer)};
    return 0;
}

static int flush(FileWriter *w)
{
    int r = io_write_all(w->fd, w->buffer, w->n);

    w->n = 0;
    return r;
}

int file_writer_put(FileWriter *w, const void *data, size_t size)
{
    int r = 0;

    if (size > BUFFER_SIZE - w->n)
        r = flush(w);
    if (r == 0 && size > BUFFER_SIZE)
        return io_write_all(w->fd, data, size);
    if (r == 0) {
        memcpy(w->buffer + w->n, data, size);
        w->n += size;
    }
    return r;
}

void file_writer_done(FileWriter *w)
{
    if (w->fd < 0)
        return;
    file_sweep(w->dirfd);
    close(w->fd);
    free(w->buffer);
    *w = (FileWriter){.fd = -EBADF};
}

int file_publish(FileWriter *w, bool *ret_renamed)
{
    int r = flush(w);

    *ret_renamed = false;
    if (r == 0 && fsync(w->fd) < 0)
        r = -errno;
    if (r == 0 && renameat(w->dirfd, FILE_NEW, w->dirfd, FILE_STORE) < 0)
        r = -errno;
    if (r < 0)
        return r;
    *ret_renamed = true;
    close(w->fd);
    free(w->buffer);
    w->fd = -EBADF;
    return io_sync_dir(w->dirfd);
}

void file_sweep(int dirfd)
{
    (void)unlinkat(dirfd, FILE_NEW, 0);
}

void file_keep_damaged(int dirfd)
{
    (void)unlinkat(dirfd, FILE_DAMAGED, 0);
    (void)!linkat(dirfd, FILE_STORE, dirfd, FILE_DAMAGED, 0);
}
