/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/io.h"
#include "nvme-keyctl/text-file.h"

#define ROOM_MIN ((size_t)64 * 1024)

static int text_file_map(size_t room, TextFile *ret)
{
    void *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    (void)madvise(p, room, MADV_DONTDUMP);
    /* Only root may lock as much as a large file has, and only root can import. */
    (void)mlock(p, room);
    *ret = (TextFile){.text = p, .room = room};
    return 0;
}

void text_file_done(TextFile *t)
{
    if (!t->text)
        return;
    explicit_bzero(t->text, t->size);
    (void)munmap(t->text, t->room);
    t->text = NULL;
}

/* Moves the text into twice the room. */
static int grow(TextFile *t)
{
    TextFile larger = {.text = NULL};
    int r = text_file_map(2 * t->room, &larger);

    if (r < 0 || !larger.text)
        return r;
    if (t->text)
        memcpy(larger.text, t->text, t->size);
    larger.size = t->size;
    text_file_done(t);
    *t = larger;
    return 0;
}

int text_file_read(int fd, size_t max, TextFile *ret)
{
    _cleanup_(text_file_done) TextFile t = {.text = NULL};
    int r = text_file_map(ROOM_MIN, &t);
    ssize_t n;

    while (r == 0) {
        if (t.size == t.room && (r = grow(&t)) < 0)
            break;
        n = read(fd, t.text + t.size, t.room - t.size);
        if (n < 0 && errno == EAGAIN)
            r = io_wait(fd, POLLIN, 0);
        else if (n < 0 && errno != EINTR)
            r = -errno;
        else if (n > 0)
            t.size += (size_t)n;
        if (n == 0) {
            *ret = t;
            t.text = NULL;
            return 0;
        }
        if (t.size > max)
            r = -EFBIG;
    }
    return r;
}

int text_file_append(TextFile *t, const char *text, size_t size)
{
    int r = t->text ? 0 : text_file_map(ROOM_MIN, t);

    while (r == 0 && t->room - t->size < size)
        r = grow(t);
    if (r < 0 || !t->text)
        return -ENOMEM;
    if (size > 0)
        memcpy(t->text + t->size, text, size);
    t->size += size;
    return 0;
}
