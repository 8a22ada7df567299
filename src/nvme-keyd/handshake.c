/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/names.h"
#include "keyring/session.h"
#include "nvme-keyd/handshake.h"

const char *handshake_state_to_string(HandshakeState state)
{
    static const char *const names[] = {
        [HANDSHAKE_STOPPED] = "stopped",
        [HANDSHAKE_READY] = "ready",
        [HANDSHAKE_UNKNOWN] = "unknown",
        [HANDSHAKE_STALE] = "stale",
    };

    return names[state];
}

/* The service manager keeps a link for each unit that is running, for the journal: its target is
 * the id of the unit's invocation. */
static int read_invocation(const char *directory, const char *unit, sd_id128_t *ret)
{
    char path[PATH_MAX], id[SD_ID128_STRING_MAX];
    int length = snprintf(path, sizeof(path), "%s/invocation:%s", directory, unit);
    ssize_t n;

    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    n = readlink(path, id, sizeof(id));
    if (n < 0)
        return -errno;
    if ((size_t)n >= sizeof(id))
        return -EBADMSG;
    id[n] = '\0';
    return sd_id128_from_string(id, ret);
}

static int look_at(const char *directory, const char *unit, int32_t keyring, Handshake *ret)
{
    SessionLinks links = SESSION_NEITHER;
    sd_id128_t invocation;
    int r;

    *ret = (Handshake){.unit = unit, .state = HANDSHAKE_UNKNOWN};
    r = read_invocation(directory, unit, &invocation);
    if (r == -ENOENT)
        ret->state = HANDSHAKE_STOPPED;
    if (r < 0)
        return 0;
    r = session_look(invocation.bytes, keyring, &links);
    if (r == -ENOMEM)
        return r;
    if (r == 0)
        ret->state = links == SESSION_RING ? HANDSHAKE_READY : HANDSHAKE_STALE;
    /* Whoever has a keyring that was revoked has linked what it will. */
    ret->starting = r == 0 && links == SESSION_NEITHER;
    return 0;
}

int handshake_look(const char *directory, int32_t keyring, Handshake *ret)
{
    static const char *const units[] = {NAMES_HANDSHAKE_UNIT, NAMES_HANDSHAKE_UNIT_MEMORY};
    Handshake worst = {.unit = units[0], .state = HANDSHAKE_STOPPED};

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        Handshake h;

        if (look_at(directory, units[i], keyring, &h) < 0)
            return -ENOMEM;
        if (h.state > worst.state)
            worst = h;
    }
    *ret = worst;
    return 0;
}
