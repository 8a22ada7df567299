/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvme-keyd/guard/backoff.h"

bool backoff_note(Backoff *b, uint64_t now_usec)
{
    uint64_t oldest = b->rounds[b->next], doubled = 2 * backoff_pause(b);
    bool fights = b->pause_usec > 0;

    b->rounds[b->next] = now_usec;
    b->next = (b->next + 1) % GUARD_ROUNDS;
    b->last_usec = now_usec;
    if (!fights && (oldest == 0 || now_usec - oldest > GUARD_ROUNDS_USEC))
        return false;
    b->pause_usec = doubled < GUARD_PAUSE_MAX_USEC ? doubled : GUARD_PAUSE_MAX_USEC;
    return !fights;
}

bool backoff_rest(Backoff *b, uint64_t now_usec)
{
    if (b->pause_usec == 0 || now_usec - b->last_usec < GUARD_QUIET_USEC)
        return false;
    *b = (Backoff){.pause_usec = 0};
    return true;
}

uint64_t backoff_pause(const Backoff *b)
{
    return b->pause_usec > 0 ? b->pause_usec : GUARD_LOOK_USEC;
}
