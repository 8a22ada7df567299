/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* A target on the same continent accepts within a second; the first packet may be lost twice. */
#define PROBE_CONNECT_USEC (5 * USEC_PER_SEC)
/* Default of tls_handshake_timeout of nvmet_tcp: after that the target closes. */
#define PROBE_HANDSHAKE_USEC (10 * USEC_PER_SEC)
/* A port without TLS closes at once when it sees the begin of a handshake. */
#define PROBE_SILENCE_USEC USEC_PER_SEC
/* How long an accepted connection may take to be closed by the target. */
#define PROBE_CLOSE_USEC USEC_PER_SEC
/* The daemon sends the request at once. */
#define PROBE_REQUEST_USEC (5 * USEC_PER_SEC)

/* A line for people. */
#define PROBE_DETAIL_MAX 255
/* An IPv6 address, "%" and the name of an interface: 45 + 1 + 15. */
#define PROBE_ADDRESS_MAX 61
/* IFNAMSIZ without the NUL. */
#define PROBE_INTERFACE_MAX 15
/* The kernel's attribute: five names with their values. */
#define PROBE_SYSFS_ADDRESS_MAX 511
