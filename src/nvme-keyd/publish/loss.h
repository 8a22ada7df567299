/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nvme-keyd/keys/key.h"
#include "nvme-keyd/publish/limits.h"
#include "psk/limits.h"

/* Keys that left the ring although they belong there, and were put back. */

typedef enum LossCause {
    LOSS_CLEARED,   /* all keys left at the same time */
    LOSS_REVOKED,   /* another program has revoked it */
    LOSS_EXPIRED,   /* another program has given it a timeout */
    LOSS_DISPLACED, /* another program has added other bytes under its name */
    LOSS_UNLINKED,  /* another program has taken it out */
} LossCause;

typedef struct Loss {
    LossCause cause;
    int32_t serial; /* of the lost key */
    unsigned version;
    char id[KEY_ID_SIZE];
    char hostnqn[NQN_LENGTH_MAX + 1];
    char subsysnqn[NQN_LENGTH_MAX + 1];
} Loss;

/* Starts as zeroes. */
typedef struct Losses {
    Loss items[LOSSES_MAX];
    size_t n, taken;    /* the first of them have been taken */
    size_t more;        /* that did not fit */
    uint64_t total;     /* since the start */
    uint64_t last_usec; /* CLOCK_REALTIME, 0 for never */
    LossCause last_cause;
} Losses;

const char *loss_cause_to_string(LossCause cause);

/* Finds out why a key with this serial has left the ring. all_left: no key that was there before is
 * there now. displaced: the ring has other bytes under its name. */
LossCause loss_cause_of(int32_t serial, bool displaced, bool all_left);

void losses_add(Losses *l, const Key *k, unsigned version, int32_t serial, LossCause cause);

/* Takes the oldest one; returns false if there is none. */
bool losses_take(Losses *l, Loss *ret);
/* Returns the number of losses that did not fit, and sets it to 0. */
size_t losses_take_more(Losses *l);
