/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/io.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/tlshd/limits.h"
#include "nvme-keyd/tlshd/restart.h"
#include "nvme-keyd/tlshd/watch.h"

struct TlshdWatch {
    sd_event *event;
    TlshdLook look;
    void *userdata;
    sd_event_source *again;
    UnitRestart *restart;
    bool restarting;  /* the service manager has not answered yet */
    bool may_restart; /* of the last update */
    int32_t ring;     /* of the last look, 0 for none */
    /* Each was last done for this ring; 0 for none. */
    int32_t logged_stale;
    int32_t logged_unlinked;
    int32_t logged_unconfigured;
    int32_t restarted;
};

TlshdWatch *tlshd_watch_free(TlshdWatch *w)
{
    if (!w)
        return NULL;
    sd_event_source_disable_unref(w->again);
    unit_restart_free(w->restart);
    free(w);
    return NULL;
}

static void look_later(TlshdWatch *w)
{
    (void)sd_event_source_set_time(w->again, now_monotonic() + TLSHD_START_USEC);
    (void)sd_event_source_set_enabled(w->again, SD_EVENT_ONESHOT);
}

static void on_restarted(const char *unit, int error, void *userdata)
{
    TlshdWatch *w = userdata;

    w->restarting = false;
    if (error < 0) {
        (void)log_error_errno(error, "Cannot restart %s", unit);
        return;
    }
    log_notice("Restarting %s, so that it links the keyring", unit);
    look_later(w);
}

static void restart(TlshdWatch *w, const char *unit)
{
    const char *address = getenv(NAMES_ENV_SERVICE_MANAGER);
    int r;

    w->restart = unit_restart_free(w->restart);
    r = unit_restart_new(w->event, address ? address : NAMES_SERVICE_MANAGER, unit, on_restarted, w,
                         &w->restart);
    w->restarting = r >= 0;
    if (r < 0)
        on_restarted(unit, r, w);
}

/* True once for each ring. */
static bool is_first(const TlshdWatch *w, int32_t *done_for)
{
    return TAKE(*done_for, w->ring) != w->ring;
}

static void on_unconfigured(TlshdWatch *w, const char *unit)
{
    static const LogFields fields = {.message_id = MESSAGE_TLSHD_UNCONFIGURED};

    if (is_first(w, &w->logged_unconfigured))
        (void)log_full(LOG_WARNING, 0, &fields,
                       "%s was restarted, but has not linked the keyring " NAMES_RING
                       ": tlshd before 0.12 needs keyrings=" NAMES_RING
                       " in section [authenticate] of /etc/tlshd.conf",
                       unit);
}

static void on_stale(TlshdWatch *w, const char *unit)
{
    static const LogFields fields = {.message_id = MESSAGE_TLSHD_STALE};

    if (is_first(w, &w->logged_stale))
        (void)log_full(LOG_WARNING, 0, &fields,
                       "%s links an older keyring " NAMES_RING
                       ", which is revoked: restart tlshd 1.0, or it does not find the keys",
                       unit);
    if (w->may_restart && is_first(w, &w->restarted))
        restart(w, unit);
}

/* Normal for newer versions between two handshakes, so this is no warning. */
static void on_unlinked(TlshdWatch *w, const char *unit)
{
    if (is_first(w, &w->logged_unlinked))
        log_info("%s has no link to the keyring " NAMES_RING
                 ": tlshd 1.1 and newer need none, restart an older one",
                 unit);
}

static void look_at(TlshdWatch *w, bool may_start)
{
    TlshdStatus h;

    if (!w->look(w->userdata, &h) || h.remedy == TLSHD_NO_REMEDY)
        return;
    if (h.unlinked && may_start)
        look_later(w);
    else if (h.remedy == TLSHD_CONFIGURE)
        on_unconfigured(w, h.unit);
    else if (h.state == TLSHD_STALE)
        on_stale(w, h.unit);
    else
        on_unlinked(w, h.unit);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    look_at(userdata, false);
    return 0;
}

int tlshd_watch_new(sd_event *event, TlshdLook look, void *userdata, TlshdWatch **ret)
{
    _cleanup_(tlshd_watch_freep) TlshdWatch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    w->event = event;
    w->look = look;
    w->userdata = userdata;
    r = sd_event_add_time(event, &w->again, CLOCK_MONOTONIC, 0, 0, on_again, w);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(w->again, SD_EVENT_OFF);
    *ret = TAKE_PTR(w);
    return 0;
}

void tlshd_watch_update(TlshdWatch *w, int32_t ring, bool may_restart)
{
    bool is_new = may_restart && !w->may_restart;

    w->may_restart = may_restart;
    if (ring == 0 || (ring == w->ring && !is_new))
        return;
    w->ring = ring;
    look_at(w, true);
}

bool tlshd_watch_is_busy(const TlshdWatch *w)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(w->again, &enabled);
    return w->restarting || enabled != SD_EVENT_OFF;
}
