/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "psk/identity.h"
#include "psk/limits.h"

/* What somebody has to look at in the ring, as of the last look at all of it. */

typedef enum RingNoticeKind {
    RING_NOTICE_HELD,  /* not wanted, but a controller would not come back without it */
    RING_NOTICE_RIVAL, /* a second key for a pair of this host: the kernel may use either */
} RingNoticeKind;

typedef struct RingNotice {
    RingNoticeKind kind;
    int32_t serial;
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
    char controller[32]; /* of RING_NOTICE_HELD */
    bool told;           /* the journal has it */
} RingNotice;

/* Starts as zeroes. */
typedef struct RingNotices {
    RingNotice *items;
    size_t n;    /* at most RING_NOTICES_MAX */
    size_t more; /* how many did not fit */
} RingNotices;

void ring_notices_done(RingNotices *l);

/* Notes one; its names are those of identity. Without memory it is counted only. */
void ring_notices_add(RingNotices *l, RingNoticeKind kind, int32_t serial,
                      const PskIdentity *identity, const char *controller);

/* Puts new in the place of l, whose notices that are still true stay told. Takes new over. */
void ring_notices_replace(RingNotices *l, RingNotices *new);

/* How many of a kind there are. */
size_t ring_notices_count(const RingNotices *l, RingNoticeKind kind);

/* One that the journal does not have yet, and has from now on; or NULL. */
const RingNotice *ring_notices_next(RingNotices *l);

/* A line for people, to be freed; NULL without memory. */
char *ring_notice_text(const RingNotice *n);
