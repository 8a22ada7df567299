/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/handshake-watch.h"
#include "nvme-keyd/unit-restart.h"

struct HandshakeWatch {
    sd_event *event;
    Manager *manager;
    sd_event_source *again;
    UnitRestart *restart;
    int32_t ring; /* that was looked for last, 0 for none */
};

HandshakeWatch *handshake_watch_free(HandshakeWatch *w)
{
    if (!w)
        return NULL;
    sd_event_source_disable_unref(w->again);
    unit_restart_free(w->restart);
    free(w);
    return NULL;
}

static void on_restarted(const char *unit, int error, void *userdata)
{
    (void)userdata;
    if (error < 0)
        (void)log_error_errno(error, "Cannot have %s restarted", unit);
    else
        log_notice("%s is being restarted, so that it links the keyring", unit);
}

static void restart(HandshakeWatch *w, const char *unit)
{
    const char *address = getenv(NAMES_ENV_SERVICE_MANAGER);
    int r;

    w->restart = unit_restart_free(w->restart);
    r = unit_restart_new(w->event, address ? address : NAMES_SERVICE_MANAGER, unit, on_restarted,
                         NULL, &w->restart);
    if (r < 0)
        on_restarted(unit, r, NULL);
}

static void look(HandshakeWatch *w, bool may_start)
{
    static const LogFields stale = {.message_id = MESSAGE_HANDSHAKE_STALE};
    Handshake h;

    if (!manager_handshake(w->manager, &h) || h.state != HANDSHAKE_STALE)
        return;
    if (h.starting && may_start) {
        (void)sd_event_source_set_time(w->again, now_monotonic() + HANDSHAKE_START_USEC);
        (void)sd_event_source_set_enabled(w->again, SD_EVENT_ONESHOT);
        return;
    }
    (void)log_full(LOG_WARNING, 0, &stale,
                   "%s does not have the keyring " NAMES_RING ", which is newer: handshakes fail "
                   "until it is restarted, unless it takes the keyring from the kernel",
                   h.unit);
    if (manager_config(w->manager)->restart_handshake_daemon)
        restart(w, h.unit);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    look(userdata, false);
    return 0;
}

int handshake_watch_new(sd_event *event, Manager *m, HandshakeWatch **ret)
{
    _cleanup_(handshake_watch_freep) HandshakeWatch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    w->event = event;
    w->manager = m;
    r = sd_event_add_time(event, &w->again, CLOCK_MONOTONIC, 0, 0, on_again, w);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(w->again, SD_EVENT_OFF);
    *ret = TAKE_PTR(w);
    return 0;
}

void handshake_watch_update(HandshakeWatch *w)
{
    int32_t serial = manager_ring_serial(w->manager);

    if (serial == 0 || serial == w->ring)
        return;
    w->ring = serial;
    look(w, true);
}
