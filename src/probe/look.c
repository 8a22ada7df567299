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

static void set_unreachable(int error, ProbeReply *ret)
{
    char detail[PROBE_DETAIL_MAX + 1];

    (void)snprintf(detail, sizeof(detail), "cannot connect: %s",
                   error == -ETIMEDOUT ? "no answer in time" : strerror(-error));
    probe_reply_set(ret, PROBE_UNREACHABLE, detail);
}

/* Says with which hash a PSK was refused, because a target may have it for the other one. */
static void set_result(const ProbeRequest *q, PskHash hash, const Handshake *h, ProbeReply *ret)
{
    char detail[PROBE_DETAIL_MAX + sizeof(" (the PSK was offered as one of SHA-256)")];
    bool refused = h->answer == PROBE_REFUSED;
    const char *note = !refused || hash != PSK_HASH_SHA384 ? ""
                       : q->as_sha256 ? " (the PSK was offered as one of SHA-256)"
                                      : " (the PSK was offered as one of SHA-384)";

    (void)snprintf(detail, sizeof(detail), "%s%s", h->detail, note);
    probe_reply_set(ret, refused && connect_is_own(&q->target) ? PROBE_OWN : h->answer, detail);
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
        set_unreachable(r, ret);
        return 0;
    }
    if (h.answer == PROBE_REFUSED && h.closed_silently)
        try_half(q, cancel_fd, &h);
    set_result(q, hash, &h, ret);
    return 0;
}
