/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"
#include "keyring/ring.h"

/*
 * A cheap look at the ring: two system calls, however many keys there are. The first reads its list
 * of serials. A key that is revoked or has expired stays in that list until the kernel collects it,
 * up to five minutes later, so the second is a search that cannot succeed: its error says whether
 * the ring has such keys.
 */
typedef struct Glance {
    int32_t *serials; /* of the last look, in the order of the kernel */
    size_t n;
    int32_t *spare; /* the next look reads into it */
    size_t n_max;
} Glance;

/* Frees the members of a glance, which starts as zeroes and is empty afterwards. */
void glance_done(Glance *g);

typedef enum GlanceResult {
    GLANCE_SAME,    /* as at the last look, and all keys are alive */
    GLANCE_DEAD,    /* the same serials, but some of the keys may be dead */
    GLANCE_CHANGED, /* other serials, or the first look */
} GlanceResult;

/* Looks at the ring. Returns a GlanceResult, -ENOMEM, or the error of a ring that is gone, as
 * ring_list() does; after an error the next look is a first one. */
int glance_look(Glance *g, const Ring *r) _must_check_;
