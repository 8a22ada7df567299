/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/found.h"

/*
 * Reads nvme-fabrics.conf, its drop-ins, and nvme-stas.conf, which nvme-cli 3 and nvme-stas 3 have
 * in one format (libnvme, design/CONFIG.md). A PSK is for the host of the file and the subsystem of
 * a section:
 *
 *     [Host]
 *     hostnqn = NQN            without it, that of the machine
 *     [Subsystem]              or [Discovery Controller], where nqn= is optional
 *     nqn = NQN
 *     tls-key = NVMeTLSkey-1:HH:BASE64:
 *     tls-key-identity = IDENTITY
 *
 * These options may stand in [Host], [Discovery Controller Defaults] and [I/O Controller Defaults]
 * as well, for all endpoints of the file that have none of their own. With
 * `key-source = systemd-creds` (nvme-keysd) tls-key= names a credential. Other options and sections
 * are left alone.
 *
 * Returns 0, what fn returns, or -ENOMEM.
 */
int fabrics_read(const char *text, size_t size, FoundFn fn, void *userdata);
