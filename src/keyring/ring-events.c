/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "basic/io.h"
#include "keyring/ring-events.h"

/* From linux/watch_queue.h, which cannot be included beside fcntl.h. */
#define NOTIFICATION_PIPE O_EXCL
#define SET_SIZE _IO('W', 0x60)
#define SET_FILTER _IO('W', 0x61)
enum {
    TYPE_META = 0,
    TYPE_KEY = 1
};
enum {
    META_REMOVAL = 0,
    META_LOSS = 1
};
enum {
    KEY_LINKED = 2,
    KEY_UNLINKED = 3,
    KEY_CLEARED = 4,
    KEY_REVOKED = 5,
    KEY_INVALIDATED = 6
};
#define INFO_LENGTH 0x7f

typedef struct Head {
    uint32_t type : 24;
    uint32_t subtype : 8;
    uint32_t info;
} Head;

typedef struct KeyRecord {
    Head head;
    uint32_t key;
    uint32_t aux;
} KeyRecord;

/* One filter, for notifications about keys. */
typedef struct Filter {
    uint32_t n, reserved;
    uint32_t type, info_filter, info_mask;
    uint32_t subtypes[8];
} Filter;

/* A look follows the first of them, so the rest may be lost. */
#define RECORDS_MAX 32
/* Any number will do: there is one watch. */
#define WATCH_ID 1

struct RingEvents {
    int32_t ring;
    int fds[2]; /* without a writer, the reader would be at its end */
};

static RingNews news_of_meta(const Head *head)
{
    switch (head->subtype) {
    case META_REMOVAL:
        return RING_GONE;
    case META_LOSS:
        return RING_CHANGED;
    default:
        return RING_NO_NEWS;
    }
}

static RingNews news_of_key(const KeyRecord *record, int32_t ring)
{
    if (record->key != (uint32_t)ring)
        return RING_NO_NEWS;
    switch (record->head.subtype) {
    case KEY_LINKED:
    case KEY_UNLINKED:
    case KEY_CLEARED:
        return RING_CHANGED;
    case KEY_REVOKED:
    case KEY_INVALIDATED:
        return RING_GONE;
    default:
        return RING_NO_NEWS;
    }
}

int ring_events_parse(const void *data, size_t size, int32_t ring)
{
    const uint8_t *p = data;
    RingNews all = RING_NO_NEWS;

    while (size > 0) {
        KeyRecord record = {.key = 0};
        RingNews news = RING_NO_NEWS;
        size_t length;

        if (size < sizeof(record.head))
            return -EBADMSG;
        memcpy(&record.head, p, sizeof(record.head));
        length = record.head.info & INFO_LENGTH;
        if (length < sizeof(record.head) || length > size)
            return -EBADMSG;
        memcpy(&record, p, CONST_MIN(length, sizeof(record)));
        if (record.head.type == TYPE_META)
            news = news_of_meta(&record.head);
        else if (record.head.type == TYPE_KEY && length < sizeof(record))
            return -EBADMSG;
        else if (record.head.type == TYPE_KEY)
            news = news_of_key(&record, ring);
        all = CONST_MAX(all, news);
        p += length;
        size -= length;
    }
    return (int)all;
}

static int prepare(int fd, int32_t ring)
{
    const Filter filter = {.n = 1,
                           .type = TYPE_KEY,
                           .subtypes = {1U << KEY_LINKED | 1U << KEY_UNLINKED | 1U << KEY_CLEARED |
                                        1U << KEY_REVOKED | 1U << KEY_INVALIDATED}};

    return ioctl(fd, SET_SIZE, RECORDS_MAX) < 0 || ioctl(fd, SET_FILTER, &filter) < 0 ||
                   keyctl_watch_key(ring, fd, WATCH_ID) < 0
               ? -errno
               : 0;
}

int ring_events_open(const Ring *r, RingEvents **ret)
{
    _cleanup_(ring_events_closep) RingEvents *e = calloc(1, sizeof(*e));
    int error;

    if (!e)
        return -ENOMEM;
    e->ring = ring_serial(r);
    e->fds[0] = e->fds[1] = -1;
    if (pipe2(e->fds, NOTIFICATION_PIPE | O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    error = prepare(e->fds[0], e->ring);
    if (error < 0)
        return error;
    *ret = TAKE_PTR(e);
    return 0;
}

RingEvents *ring_events_close(RingEvents *e)
{
    if (!e)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(e->fds); i++)
        if (e->fds[i] >= 0)
            close(e->fds[i]);
    free(e);
    return NULL;
}

int ring_events_fd(const RingEvents *e)
{
    return e->fds[0];
}

int ring_events_read(const RingEvents *e)
{
    uint8_t data[RECORDS_MAX * sizeof(KeyRecord)];
    RingNews all = RING_NO_NEWS;

    for (;;) {
        ssize_t n = read(e->fds[0], data, sizeof(data));
        int news;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? (int)all : -errno;
        if (n == 0)
            return RING_GONE;
        news = ring_events_parse(data, (size_t)n, e->ring);
        if (news < 0)
            return news;
        all = CONST_MAX(all, (RingNews)news);
    }
}
