/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "probe/connect.h"
#include "probe/handshake.h"
#include "probe/look.h"

/* Returns an error of connect_target() or handshake_offer(). */
static int connect_and_offer(const ProbeRequest *q, PskHash hash, int cancel_fd, Handshake *ret)
{
    _cleanup_(closep) int fd = -EBADF;
    int r = connect_target(&q->target, cancel_fd, now_monotonic() + PROBE_CONNECT_USEC, &fd);

    if (r < 0)
        return r;
    return handshake_offer(fd, q, hash, cancel_fd, now_monotonic() + PROBE_HANDSHAKE_USEC, ret);
}

/* tlshd 1.0 uses SHA-256 with each PSK, as a client and as a server, so targets with it accept one
 * of SHA-384 in that way only. */
static void try_sha256(const ProbeRequest *q, int cancel_fd, Handshake *h)
{
    Handshake second;

    if (connect_and_offer(q, PSK_HASH_SHA256, cancel_fd, &second) < 0 ||
        second.answer != PROBE_ACCEPTED)
        return;
    *h = second;
    (void)snprintf(
        h->detail, sizeof(h->detail),
        "TLS 1.3 handshake with TLS_AES_128_GCM_SHA256, which tlshd 1.0 uses for a PSK of "
        "SHA-384 too");
}

/* tlshd 1.0 refuses by closing the connection, and so does a port without TLS. */
static void try_half(const ProbeRequest *q, int cancel_fd, Handshake *h)
{
    _cleanup_(closep) int fd = -EBADF;

    if (connect_target(&q->target, cancel_fd, now_monotonic() + PROBE_CONNECT_USEC, &fd) < 0 ||
        handshake_is_expected(fd, cancel_fd, now_monotonic() + PROBE_SILENCE_USEC))
        return;
    h->answer = PROBE_NO_TLS;
    (void)snprintf(h->detail, sizeof(h->detail),
                   "the target closes the connection when a TLS handshake begins");
}

static const char *own_note(const ProbeTarget *t, ProbeAnswer *answer)
{
    if (!connect_is_own(t))
        return "";
    *answer = PROBE_OWN;
    return "at an address of this machine ";
}

static void set_unreachable(const ProbeRequest *q, int error, ProbeReply *ret)
{
    char detail[PROBE_DETAIL_MAX + 1];
    ProbeAnswer answer = PROBE_UNREACHABLE;
    const char *note = error == -ECONNREFUSED ? own_note(&q->target, &answer) : "";

    (void)snprintf(detail, sizeof(detail), "%scannot connect: %s", note,
                   error == -ETIMEDOUT ? "no answer in time" : strerror(-error));
    probe_reply_set(ret, answer, detail);
}

static void set_result(const ProbeRequest *q, const Handshake *h, ProbeReply *ret)
{
    char detail[PROBE_DETAIL_MAX + sizeof("at an address of this machine ")];
    ProbeAnswer answer = h->answer;
    const char *note = answer == PROBE_REFUSED ? own_note(&q->target, &answer) : "";

    (void)snprintf(detail, sizeof(detail), "%s%s", note, h->detail);
    probe_reply_set(ret, answer, detail);
}

int look_at_target(const ProbeRequest *q, PskHash hash, int cancel_fd, ProbeReply *ret)
{
    Handshake h = {.cancelled = false};
    int r = connect_and_offer(q, hash, cancel_fd, &h);

    if (r == -ECANCELED || h.cancelled)
        return -ECANCELED;
    if (r == -EIO) {
        probe_reply_set(ret, PROBE_UNAVAILABLE, "OpenSSL cannot offer the PSK");
        return 0;
    }
    if (r < 0) {
        set_unreachable(q, r, ret);
        return 0;
    }
    if (h.answer == PROBE_REFUSED && hash == PSK_HASH_SHA384)
        try_sha256(q, cancel_fd, &h);
    if (h.answer == PROBE_REFUSED && h.closed_silently)
        try_half(q, cancel_fd, &h);
    set_result(q, &h, ret);
    return 0;
}
