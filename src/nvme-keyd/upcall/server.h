/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "nvme-keyd/manager/manager.h"

/*
 * Answers shims on the request socket. Only root may connect, each connection carries one packet
 * each way, and no connection outlives the deadline of the shim.
 */
typedef struct UpcallServer UpcallServer;

/* Takes listen_fd. on_activity is called after a connection was opened or closed. */
int upcall_server_new(sd_event *event, int listen_fd, Manager *manager,
                      void (*on_activity)(void *userdata), void *userdata, UpcallServer **ret)
    _must_check_;
UpcallServer *upcall_server_free(UpcallServer *s);
DEFINE_CLEANUP(UpcallServer, upcall_server_free)

size_t upcall_server_connections(const UpcallServer *s);

/* Answers the requests that wait for the store. To be called when the store has opened or failed
 * to. */
void upcall_server_resume(UpcallServer *s);
