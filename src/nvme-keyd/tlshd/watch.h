/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"

/* Looks at the handshake daemon once for each keyring that the Manager finds: logs that it is
 * stale, and has it restarted, once, if the configuration says so. A restart that has not helped is
 * logged with what does. */
typedef struct HandshakeWatch HandshakeWatch;

/* Borrows event and m. */
int handshake_watch_new(sd_event *event, Manager *m, HandshakeWatch **ret) _must_check_;
/* Accepts NULL; returns NULL. */
HandshakeWatch *handshake_watch_free(HandshakeWatch *w);
DEFINE_CLEANUP(HandshakeWatch, handshake_watch_free)

/* To be called when the Manager may have found another keyring, or has another configuration. Does
 * nothing if it has not. */
void handshake_watch_update(HandshakeWatch *w);

/* True while a look or a restart is still to be done. */
bool handshake_watch_is_busy(const HandshakeWatch *w);
