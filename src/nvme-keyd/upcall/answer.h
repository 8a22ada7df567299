/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/upcall/protocol.h"

/* Answers size bytes of request, which may be malformed; request-key-shim(8) lists the requests.
 * The payload of *ret may be secret. Returns false while the answer has to wait for the store. */
bool upcall_answer(Manager *manager, const UpcallRequest *request, size_t size, UpcallReply *ret);

/* Logs a request for an unknown key, and nothing for any other answer. Call it after the answer was
 * sent, so that the kernel does not wait for the log. */
void upcall_log_miss(const UpcallRequest *request, size_t size, const UpcallReply *reply);
