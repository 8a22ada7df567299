/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager.h"

/* Tells once for each new keyring that this process has found that the handshake daemon lacks it,
 * and has it restarted if the configuration says so. */
typedef struct HandshakeWatch HandshakeWatch;

/* Borrows event and m. */
int handshake_watch_new(sd_event *event, Manager *m, HandshakeWatch **ret) _must_check_;
/* Accepts NULL; returns NULL. */
HandshakeWatch *handshake_watch_free(HandshakeWatch *w);
DEFINE_CLEANUP(HandshakeWatch, handshake_watch_free)

/* To be called when the Manager may have found another keyring. Does nothing if it has not. */
void handshake_watch_update(HandshakeWatch *w);
