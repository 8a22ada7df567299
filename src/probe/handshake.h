/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probe/packet.h"

/* What a handshake has shown. */
typedef struct Handshake {
    ProbeAnswer answer;
    char detail[PROBE_DETAIL_MAX + 1];
    bool closed_silently; /* refused, and not one byte came */
    bool cancelled;       /* the daemon has hung up */
} Handshake;

/* Offers the PSK of a checked request on a connected non-blocking socket, as a client of TLS 1.3
 * with psk_dhe_ke, and with one cipher suite: that of hash, or the one with which tlshd offers a
 * PSK of SHA-384 as_sha256. After success it ends TLS by close_notify, and waits a moment until the
 * peer closes. Sends no application data. SIGPIPE has to be ignored. Returns -EIO for an error of
 * OpenSSL that no peer can cause. */
int handshake_offer(int fd, const ProbeRequest *q, PskHash hash, int cancel_fd,
                    uint64_t deadline_usec, Handshake *ret) _must_check_;

/* Sends the first bytes of a handshake, too few for a judgement about them, on a connected
 * non-blocking socket. Returns true if the peer waits for the rest, or answers by an alert: it
 * expects TLS. */
bool handshake_is_expected(int fd, int cancel_fd, uint64_t deadline_usec);
