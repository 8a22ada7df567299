/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "basic/names.h"
#include "keyring/links.h"
#include "keyring/session.h"
#include "nvme-keyd/controllers/controllers.h"
#include "nvme-keyd/tlshd/tlshd.h"

const char *tlshd_state_to_string(TlshdState state)
{
    static const char *const names[] = {
        [TLSHD_STOPPED] = "stopped",
        [TLSHD_READY] = "ready",
        [TLSHD_UNKNOWN] = "unknown",
        [TLSHD_STALE] = "stale",
    };

    return names[state];
}

const char *tlshd_remedy_to_string(TlshdRemedy remedy)
{
    static const char *const names[] = {
        [TLSHD_NO_REMEDY] = "none",
        [TLSHD_RESTART] = "restart",
        [TLSHD_CONFIGURE] = "configure",
    };

    return names[remedy];
}

/* systemd keeps a link for each running unit; its target is the id of the invocation. */
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

static bool is_same(const TlshdSighting *a, const TlshdSighting *b)
{
    return a->ring == b->ring && sd_id128_equal(a->invocation, b->invocation);
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Reads the serials of the keys of live controllers, in ascending order. */
static int read_used(const char *directory, int32_t **ret, size_t *ret_n)
{
    _cleanup_(controller_list_done) ControllerList list = {NULL, 0};
    int r = controllers_read(directory, &list);

    if (r < 0)
        return r;
    *ret = calloc(list.n + 1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < list.n; i++)
        if (list.items[i].live && list.items[i].tls_key != 0)
            (*ret)[(*ret_n)++] = list.items[i].tls_key;
    qsort(*ret, *ret_n, sizeof(**ret), compare);
    return 0;
}

/* Returns 1 when a live controller was connected with a key of the ring, 0 when not, or -ENOMEM. */
static int is_in_use(const char *controllers, int32_t keyring)
{
    _cleanup_(freep) int32_t *used = NULL, *links = NULL;
    size_t n_used = 0, n = 0;
    int r = controllers ? read_used(controllers, &used, &n_used) : 0;

    if (r < 0 || n_used == 0 || (r = links_read(keyring, &links, &n)) < 0)
        return r == -ENOMEM ? r : 0;
    for (size_t i = 0; i < n; i++)
        if (bsearch(&links[i], used, n_used, sizeof(*used), compare))
            return 1;
    return 0;
}

/* The table in tlshd.h. Returns -ENOMEM. */
static int judge(SessionLinks links, TlshdSighting now, const char *controllers,
                 TlshdHistory *history, TlshdStatus *ret)
{
    bool released = links == SESSION_NEITHER && is_same(&history->ready, &now);
    int r = links == SESSION_NEITHER && !released ? is_in_use(controllers, now.ring) : 0;

    if (r < 0)
        return r;
    if (links == SESSION_RING || released || r > 0) {
        history->ready = now;
        ret->state = TLSHD_READY;
        return 0;
    }
    if (history->lacking.ring != now.ring)
        history->lacking = now;
    ret->state = links == SESSION_REVOKED ? TLSHD_STALE : TLSHD_UNKNOWN;
    ret->unlinked = links == SESSION_NEITHER;
    /* A later invocation lacks it as well, so a restart has not helped. */
    ret->remedy = is_same(&history->lacking, &now) ? TLSHD_RESTART : TLSHD_CONFIGURE;
    return 0;
}

static int look_at(const TlshdPlaces *places, int32_t keyring, TlshdHistory *history,
                   TlshdStatus *ret)
{
    TlshdSighting now = {.ring = keyring};
    SessionLinks links = SESSION_NEITHER;
    int r;

    r = read_invocation(places->units, ret->unit, &now.invocation);
    if (r == -ENOENT)
        ret->state = TLSHD_STOPPED;
    if (r < 0)
        return 0;
    r = session_look(now.invocation.bytes, keyring, &links);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    return judge(links, now, places->controllers, history, ret);
}

int tlshd_look(const TlshdPlaces *places, int32_t keyring, TlshdMemory *memory, TlshdStatus *ret)
{
    static const char *const units[TLSHD_UNITS] = {NAMES_TLSHD_UNIT, NAMES_TLSHD_UNIT_MEMORY};
    TlshdStatus worst = {.unit = units[0], .state = TLSHD_STOPPED};

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        TlshdStatus h = {.unit = units[i], .state = TLSHD_UNKNOWN};

        if (look_at(places, keyring, &memory->units[i], &h) < 0)
            return -ENOMEM;
        if (h.state > worst.state)
            worst = h;
    }
    *ret = worst;
    return 0;
}
