/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/manager.h"
#include "request-key-shim/upcall-protocol.h"

/* Fills in the answer to size bytes of request, whatever they are; request-key-shim(8) lists what
 * can be asked. The payload of *ret is a secret for some answers. Returns false when there is none
 * yet: the store is being opened. */
bool upcall_answer(Manager *manager, const UpcallRequest *request, size_t size, UpcallReply *ret);
