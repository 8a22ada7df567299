/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "basic/io.h"
#include "keyring/ring.h"
#include "nvme-keyd/publish/loss.h"

const char *loss_cause_to_string(LossCause cause)
{
    static const char *const words[] = {[LOSS_CLEARED] = "cleared",
                                        [LOSS_REVOKED] = "revoked",
                                        [LOSS_EXPIRED] = "expired",
                                        [LOSS_DISPLACED] = "displaced",
                                        [LOSS_UNLINKED] = "unlinked"};

    return words[cause];
}

LossCause loss_cause_of(int32_t serial, bool displaced, bool all_left)
{
    int state = ring_key_state(serial);

    if (state == -EKEYREVOKED)
        return LOSS_REVOKED;
    if (state == -EKEYEXPIRED)
        return LOSS_EXPIRED;
    if (displaced)
        return LOSS_DISPLACED;
    return all_left ? LOSS_CLEARED : LOSS_UNLINKED;
}

void losses_add(Losses *l, const Key *k, unsigned version, int32_t serial, LossCause cause)
{
    Loss *loss;

    l->total++;
    l->last_usec = now_realtime();
    l->last_cause = cause;
    if (l->n == LOSSES_MAX) {
        l->more++;
        return;
    }
    loss = &l->items[l->n++];
    *loss = (Loss){.cause = cause, .serial = serial, .version = version};
    (void)snprintf(loss->id, sizeof(loss->id), "%s", k->id);
    (void)snprintf(loss->hostnqn, sizeof(loss->hostnqn), "%s", k->hostnqn);
    (void)snprintf(loss->subsysnqn, sizeof(loss->subsysnqn), "%s", k->subsysnqn);
}

bool losses_take(Losses *l, Loss *ret)
{
    if (l->taken == l->n) {
        l->n = l->taken = 0;
        return false;
    }
    *ret = l->items[l->taken++];
    return true;
}

size_t losses_take_more(Losses *l)
{
    size_t more = l->more;

    l->more = 0;
    return more;
}
