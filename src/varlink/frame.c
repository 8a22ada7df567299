/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "varlink/frame.h"

/* A call or a reply has some hundred bytes, so the first block suffices for most connections. */
#define CAPACITY_MIN ((size_t)4096)
/* A larger block is freed as soon as it is empty. */
#define CAPACITY_KEEP ((size_t)64 * 1024)

void varlink_buffer_done(VarlinkBuffer *b)
{
    if (b->data)
        explicit_bzero(b->data + b->start, varlink_buffer_size(b));
    free(b->data);
    *b = VARLINK_BUFFER(b->max);
}

/* Moves the queued bytes to the start of a block, possibly their own. */
static void move_to(VarlinkBuffer *b, char *block, size_t capacity)
{
    size_t size = varlink_buffer_size(b);

    if (size > 0) {
        memcpy(block, b->data + b->start, size);
        explicit_bzero(b->data + b->start, size);
    }
    if (block != b->data)
        free(b->data);
    b->scanned -= b->start;
    b->data = block;
    b->start = 0;
    b->end = size;
    b->capacity = capacity;
}

/* Makes room for n bytes after the queue. To keep the total cost linear, bytes are only moved after
 * as many were consumed, or into a block of twice the size. */
static int reserve(VarlinkBuffer *b, size_t n)
{
    size_t size = varlink_buffer_size(b), capacity;
    char *block;

    if (b->capacity - b->end >= n)
        return 0;
    if (b->start >= size && b->capacity - size >= n) {
        move_to(b, b->data, b->capacity);
        return 0;
    }

    capacity = b->capacity > 0 ? b->capacity * 2 : CAPACITY_MIN;
    if (capacity < size + n)
        capacity = size + n;
    /* Zeroed, so that wiped and unused bytes look the same. */
    block = calloc(1, capacity);
    if (!block)
        return -ENOMEM;
    move_to(b, block, capacity);
    return 0;
}

int varlink_buffer_append(VarlinkBuffer *b, const void *data, size_t size)
{
    int r;

    if (size > b->max || varlink_buffer_size(b) > b->max - size)
        return -ENOBUFS;
    if (size == 0)
        return 0;
    r = reserve(b, size);
    if (r < 0)
        return r;

    memcpy(b->data + b->end, data, size);
    b->end += size;
    return 0;
}

void varlink_buffer_truncate(VarlinkBuffer *b, size_t size)
{
    size_t end = b->start + size;

    if (end >= b->end)
        return;
    explicit_bzero(b->data + end, b->end - end);
    b->end = end;
    if (b->scanned > end)
        b->scanned = end;
}

void varlink_buffer_consume(VarlinkBuffer *b, size_t size)
{
    if (size == 0)
        return;
    explicit_bzero(b->data + b->start, size);
    b->start += size;
    if (b->scanned < b->start)
        b->scanned = b->start;

    if (b->start < b->end)
        return;
    if (b->capacity > CAPACITY_KEEP)
        varlink_buffer_done(b);
    else
        b->start = b->end = b->scanned = 0;
}

int varlink_buffer_next(VarlinkBuffer *b, const char **ret, size_t *ret_size)
{
    const char *nul =
        b->end > b->scanned ? memchr(b->data + b->scanned, '\0', b->end - b->scanned) : NULL;

    b->scanned = nul ? (size_t)(nul - b->data) : b->end;
    if (b->scanned - b->start > b->max)
        return -EMSGSIZE;
    if (!nul)
        return 0;

    *ret = b->data + b->start;
    *ret_size = b->scanned - b->start;
    return 1;
}

int varlink_buffer_receive(VarlinkBuffer *b, int fd)
{
    ssize_t n;
    int r = reserve(b, CAPACITY_MIN / 4);

    if (r < 0)
        return r;
    do {
        n = recv(fd, b->data + b->end, b->capacity - b->end, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    b->end += (size_t)n;
    return n > 0;
}

int varlink_buffer_send(VarlinkBuffer *b, int fd)
{
    while (varlink_buffer_size(b) > 0) {
        ssize_t n =
            send(fd, b->data + b->start, varlink_buffer_size(b), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        varlink_buffer_consume(b, (size_t)n);
    }
    return 0;
}
