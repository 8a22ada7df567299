/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A parsed input can be written, and reads the same again. */
static void check_pair(const FleetPair *p)
{
    _cleanup_(freep) char *text = NULL;
    FleetPair again;

    if (fleet_pair_format(p, &text) < 0 || fleet_pair_parse(text, strlen(text), &again) < 0 ||
        strcmp(p->id, again.id) != 0 || strcmp(p->host, again.host) != 0 ||
        strcmp(p->target, again.target) != 0 || strcmp(p->envelope, again.envelope) != 0 ||
        p->generation != again.generation || p->versions != again.versions ||
        p->ended != again.ended || p->lifetime_usec != again.lifetime_usec)
        abort();
}

/* One text is one kind of statement at most. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    _cleanup_(fleet_approval_done) FleetApproval a = {.certificate = NULL};
    FleetRevocation r;
    FleetRotation o;
    FleetPair p;
    bool is_pair = fleet_pair_parse(text, size, &p) == 0;
    int kinds = is_pair + (fleet_approval_parse(text, size, &a) == 0) +
                (fleet_revocation_parse(text, size, &r) == 0) +
                (fleet_rotation_parse(text, size, &o) == 0);

    if (kinds > 1)
        abort();
    if (is_pair)
        check_pair(&p);
    return 0;
}
