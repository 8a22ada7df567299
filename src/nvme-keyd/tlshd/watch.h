/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"

/* Looks at tlshd once for each keyring that the Manager finds: logs that it is
 * stale, and has it restarted, once, if the configuration says so. A restart that has not helped is
 * logged with what does. */
typedef struct TlshdWatch TlshdWatch;

/* Borrows event and m. */
int tlshd_watch_new(sd_event *event, Manager *m, TlshdWatch **ret) _must_check_;
/* Accepts NULL; returns NULL. */
TlshdWatch *tlshd_watch_free(TlshdWatch *w);
DEFINE_CLEANUP(TlshdWatch, tlshd_watch_free)

/* To be called when the Manager may have found another keyring, or has another configuration. Does
 * nothing if it has not. */
void tlshd_watch_update(TlshdWatch *w);

/* True while a look or a restart is still to be done. */
bool tlshd_watch_is_busy(const TlshdWatch *w);
