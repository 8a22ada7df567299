/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nvme-keyd/guard/limits.h"

/*
 * Bounds a fight with another program, which takes out again and again what we put back. A round is
 * one time that something had to be put back. Pure functions of the times that they are given
 * (CLOCK_MONOTONIC). Starts as zeroes.
 */
typedef struct Backoff {
    uint64_t rounds[GUARD_ROUNDS]; /* the times of the last ones */
    unsigned next;                 /* the oldest of them */
    uint64_t last_usec;
    uint64_t pause_usec; /* 0: no fight */
} Backoff;

/* Notes a round. Returns true if a fight has begun with it. */
bool backoff_note(Backoff *b, uint64_t now_usec);

/* Notes that nothing had to be put back. Returns true if a fight has ended. */
bool backoff_rest(Backoff *b, uint64_t now_usec);

/* The time until the next look. */
uint64_t backoff_pause(const Backoff *b);
