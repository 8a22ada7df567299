/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/tlshd/tlshd.h"

/*
 * Looks at tlshd once for each new ring. Logs that it is stale, and restarts it once if the
 * configuration allows that. If the restart has not helped, logs the remedy.
 */
typedef struct TlshdWatch TlshdWatch;

/* Looks as tlshd_look() does. Returns false if there is no ring that tlshd uses. */
typedef bool (*TlshdLook)(void *userdata, TlshdStatus *ret);

/* Borrows event. */
int tlshd_watch_new(sd_event *event, TlshdLook look, void *userdata, TlshdWatch **ret) _must_check_;
/* Accepts NULL; returns NULL. */
TlshdWatch *tlshd_watch_free(TlshdWatch *w);
DEFINE_CLEANUP(TlshdWatch, tlshd_watch_free)

/* Call this after any change of ring or configuration. ring: its serial, or 0 without one. Does
 * nothing if both are as before. */
void tlshd_watch_update(TlshdWatch *w, int32_t ring, bool may_restart);

/* True until a look or a restart has finished. */
bool tlshd_watch_is_busy(const TlshdWatch *w);
