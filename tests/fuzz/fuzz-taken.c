/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope/limits.h"
#include "nvme-keyd/envelopes/taken.h"
#include "psk/nqn.h"

/* Results of the child process that opens an envelope: an accepted one is within all bounds. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    TakenEnvelope t;
    int r = taken_parse(data, size, &t);

    if (r < 0) {
        if (r != -EBADMSG && r != -ENOMEM)
            abort();
        return 0;
    }
    if (t.n == 0 || t.n > ENVELOPE_ENTRIES_MAX || strlen(t.id) != ENVELOPE_ID_SIZE - 1 ||
        strlen(t.issuer) != MACHINE_FINGERPRINT_SIZE - 1)
        abort();
    for (size_t i = 0; i < t.n; i++) {
        const TakenPair *p = &t.pairs[i];

        if (p->generation == 0 || p->generation > INT64_MAX || (!p->is_host && !p->is_target) ||
            !nqn_is_usable(p->hostnqn, strlen(p->hostnqn)) ||
            !nqn_is_usable(p->subsysnqn, strlen(p->subsysnqn)) ||
            (p->configured && (p->versions == 0 || p->versions > 3)))
            abort();
    }
    taken_done(&t);
    return 0;
}
