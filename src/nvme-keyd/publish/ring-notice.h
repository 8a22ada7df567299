/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "psk/identity.h"
#include "psk/limits.h"

/* Keys in the ring that an administrator should look at, as of the last look at the whole ring. */

typedef enum RingNoticeKind {
    RING_NOTICE_HELD,      /* unwanted, but a controller would not come back without it */
    RING_NOTICE_RIVAL,     /* a second key for a pair of this host; the kernel may use either */
    RING_NOTICE_MALFORMED, /* the same, but its description is no identity of a PSK */
    RING_NOTICE_SHADOW,    /* the same, for a subsystem whose NQN begins with that of the pair */
    RING_NOTICE_DISPLACED, /* a key of the pair, which was unlinked: Foreign=displace */
} RingNoticeKind;

typedef struct RingNotice {
    RingNoticeKind kind;
    int32_t serial;
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    char controller[32]; /* of RING_NOTICE_HELD */
    bool logged;         /* it has been logged */
} RingNotice;

/* Starts as zeroes. */
typedef struct RingNotices {
    RingNotice *items;
    size_t n;    /* at most RING_NOTICES_MAX */
    size_t more; /* notices that did not fit */
} RingNotices;

void ring_notices_done(RingNotices *l);

/* True for a foreign key that is in the ring beside ours. */
bool ring_notice_is_rival(const RingNotice *n);

/* Adds a notice with the names of identity. Without memory it is only counted. */
void ring_notices_add(RingNotices *l, RingNoticeKind kind, int32_t serial,
                      const PskIdentity *identity, const char *controller);

/* Replaces l by new, which is emptied. Notices in both stay logged. */
void ring_notices_replace(RingNotices *l, RingNotices *new);

size_t ring_notices_count(const RingNotices *l, RingNoticeKind kind);

/* Returns a notice that has not been logged and marks it as logged, or NULL. */
const RingNotice *ring_notices_next(RingNotices *l);

/* Returns a line for people, to be freed; NULL without memory. */
char *ring_notice_text(const RingNotice *n);
