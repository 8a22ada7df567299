/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/upcall/protocol.h"

/* Fills in the answer to size bytes of request, whatever they are; request-key-shim(8) lists what
 * can be asked. The payload of *ret is a secret for some answers. Returns false when there is none
 * yet: the store is being opened. */
bool upcall_answer(Manager *manager, const UpcallRequest *request, size_t size, UpcallReply *ret);

/* Logs a request for a key that is not here; of another answer nothing. For after the answer has
 * been sent: the kernel must not wait for a log. */
void upcall_log_miss(const UpcallRequest *request, size_t size, const UpcallReply *reply);
