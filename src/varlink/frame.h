/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"

/*
 * A queue of bytes between a socket and JSON, for both directions. The bytes may be secret, so
 * every byte outside the queue is always zero. Takes time linear in the bytes that pass.
 */
typedef struct VarlinkBuffer {
    char *data;
    size_t start, end, capacity;
    size_t scanned; /* no NUL in [start, scanned) */
    size_t max;     /* most bytes that an append may queue, or that a received message may have */
} VarlinkBuffer;

#define VARLINK_BUFFER(limit)                                                                      \
    (VarlinkBuffer)                                                                                \
    {                                                                                              \
        .max = (limit)                                                                             \
    }

/* Wipes and frees the buffer, which is empty and usable afterwards. */
void varlink_buffer_done(VarlinkBuffer *b);

static inline size_t varlink_buffer_size(const VarlinkBuffer *b)
{
    return b->end - b->start;
}

/* Queues a copy of data. Returns -ENOBUFS past max or -ENOMEM; nothing is queued then. */
int varlink_buffer_append(VarlinkBuffer *b, const void *data, size_t size) _must_check_;

/* Wipes and drops the end of the queue, so that size bytes are left. */
void varlink_buffer_truncate(VarlinkBuffer *b, size_t size);

/* Wipes and drops the first size bytes. */
void varlink_buffer_consume(VarlinkBuffer *b, size_t size);

/* Finds a message: bytes that end with NUL. Returns 1 and the message without its NUL, which stays
 * until *ret_size + 1 bytes are consumed; 0 if there is no complete one; -EMSGSIZE if it is or will
 * be longer than max. */
int varlink_buffer_next(VarlinkBuffer *b, const char **ret, size_t *ret_size) _must_check_;

/* Receives once without blocking. Returns 1 if bytes arrived, 0 at the end of the stream, -EAGAIN,
 * -ENOMEM, or the error of recv(2). */
int varlink_buffer_receive(VarlinkBuffer *b, int fd) _must_check_;

/* Sends the queue without blocking and without SIGPIPE. Returns 0 if all was sent, -EAGAIN if some
 * is left, or the error of send(2). */
int varlink_buffer_send(VarlinkBuffer *b, int fd) _must_check_;
