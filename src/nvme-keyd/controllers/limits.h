/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /proc/net/tls_stat has some 20 lines of 40 bytes. */
#define TLS_STAT_MAX 8192

/* Requests that do not end for so long count as stalled. A slow target answers earlier, and the
 * kernel gives a request up after 30 s (nvme_core.io_timeout), if at all. */
#define STALLED_USEC (10 * USEC_PER_SEC)
