/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "keyring/ring.h"

/*
 * Notifications of the kernel about the list of the ring's keys: keys that are linked or unlinked,
 * and the end of the ring. There is none about a key of the ring that is revoked or expires. Needs
 * a kernel with CONFIG_WATCH_QUEUE and CONFIG_KEY_NOTIFICATIONS, and permission to view the ring.
 */
typedef struct RingEvents RingEvents;

typedef enum RingNews {
    RING_NO_NEWS,
    RING_CHANGED, /* a key has come or gone, or notifications were lost */
    RING_GONE,    /* the ring is revoked, or watched no longer: its notifications have ended */
} RingNews;

/* Begins to watch a ring. Returns an error where the kernel cannot: -ENOPKG, -EINVAL, -EOPNOTSUPP,
 * -EPERM in a sandbox, or another one of pipe2(2), ioctl(2) or keyctl(2). */
int ring_events_open(const Ring *r, RingEvents **ret) _must_check_;
/* Accepts NULL; returns NULL. */
RingEvents *ring_events_close(RingEvents *e);
DEFINE_CLEANUP(RingEvents, ring_events_close)

/* A file that can be polled; it is readable when there is something to read. */
int ring_events_fd(const RingEvents *e);

/* Reads all that there is, without waiting. Returns a RingNews, or the error of read(2) or
 * ring_events_parse(); then close it. */
int ring_events_read(const RingEvents *e) _must_check_;

/* Parses records of watch_queue, as in linux/watch_queue.h; those about other keys than ring do not
 * count. Returns the greatest RingNews of all, or -EBADMSG for a record whose length makes no
 * sense. */
int ring_events_parse(const void *data, size_t size, int32_t ring) _must_check_;
