/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/text.h"
#include "probe/connect.h"
#include "probe/handshake.h"
#include "test.h"
#include "tls-peer.h"

/* Long enough for a slow machine; no test waits for it. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)

static void fill_request(const Peer *p, const char *identity, const uint8_t *psk, size_t size,
                         ProbeRequest *ret)
{
    const char *what;

    memset(ret, 0, sizeof(*ret));
    ret->psk_size = (uint32_t)size;
    memcpy(ret->psk, psk, size);
    strcpy(ret->identity, identity);
    if (probe_target_set(p->family == AF_INET6 ? "::1" : "127.0.0.1", p->port, NULL, NULL,
                         &ret->target, &what) < 0)
        abort();
}

/* Offers a PSK to a peer. Returns an error, or 0 with *ret. */
static int offer_within(const Peer *p, const char *identity, const uint8_t *psk, PskHash hash,
                        uint64_t usec, Handshake *ret)
{
    _cleanup_(closep) int fd = -EBADF;
    ProbeRequest q;
    int r;

    fill_request(p, identity, psk, psk_hash_size(hash), &q);
    r = connect_target(&q.target, -1, now_monotonic() + PATIENCE_USEC, &fd);
    return r < 0 ? r : handshake_offer(fd, &q, hash, -1, now_monotonic() + usec, ret);
}

static int offer(const Peer *p, const char *identity, const uint8_t *psk, PskHash hash,
                 Handshake *ret)
{
    return offer_within(p, identity, psk, hash, PATIENCE_USEC, ret);
}

TEST(accepted)
{
    static const struct {
        Peer peer;
        const char *suite;
    } rows[] = {
        {{.identity = PEER_IDENTITY_1, .hash = PSK_HASH_SHA256}, "TLS_AES_128_GCM_SHA256"},
        {{.identity = PEER_IDENTITY_1_384, .hash = PSK_HASH_SHA384, .size = 48},
         "TLS_AES_256_GCM_SHA384"},
        {{.identity = PEER_IDENTITY_0, .hash = PSK_HASH_SHA256, .family = AF_INET6},
         "TLS_AES_128_GCM_SHA256"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const Peer *as = &rows[i].peer;
        PEER(.mode = PEER_TLS, .identity = as->identity, .hash = as->hash, .size = as->size,
             .family = as->family);
        Handshake h;

        ASSERT_OK(offer(&p, as->identity, psk, as->hash, &h));
        ASSERT_EQ(h.answer, PROBE_ACCEPTED);
        ASSERT_TRUE(text_after(h.detail, "TLS 1.3 handshake with "));
        ASSERT_STR(text_after(h.detail, "TLS 1.3 handshake with "), rows[i].suite);
        ASSERT_EQ(peer_result(&p), 'c');
    }
}

/* The alerts are different, but a target need not send any. */
TEST(wrong_key_or_identity)
{
    for (int i = 0; i < 2; i++) {
        PEER(.mode = PEER_TLS);
        Handshake h;

        if (i == 0)
            peer_psk(2, psk, sizeof(psk));
        ASSERT_OK(offer(&p, i == 0 ? PEER_IDENTITY_1 : PEER_IDENTITY_0, psk, PSK_HASH_SHA256, &h));
        ASSERT_EQ(h.answer, PROBE_REFUSED);
        ASSERT_TRUE(strstr(h.detail, "alert"));
        ASSERT_TRUE(!h.closed_silently);
        ASSERT_EQ(peer_result(&p), 'x');
    }
}

TEST(wrong_hash)
{
    PEER(.mode = PEER_TLS, .size = 48, .identity = PEER_IDENTITY_1_384, .hash = PSK_HASH_SHA256);
    Handshake h;

    ASSERT_OK(offer(&p, PEER_IDENTITY_1_384, psk, PSK_HASH_SHA384, &h));
    ASSERT_EQ(h.answer, PROBE_REFUSED);
}

/* Peers that do not know the PSK, each in its way. A complete handshake without the PSK, by a
 * certificate, would prove nothing about it. */
TEST(conclusions)
{
    static const struct {
        PeerMode mode;
        uint64_t usec;
        ProbeAnswer answer;
        bool closed_silently;
        const char *detail;
    } rows[] = {
        {PEER_CERTIFICATE, PATIENCE_USEC, PROBE_REFUSED, false,
         "the handshake failed: certificate verify failed"},
        {PEER_LIKE_TLSHD, PATIENCE_USEC, PROBE_REFUSED, true,
         "the target closed the connection during the handshake"},
        {PEER_CLOSES, PATIENCE_USEC, PROBE_REFUSED, true,
         "the target closed the connection during the handshake"},
        {PEER_SILENT, USEC_PER_SEC / 2, PROBE_NO_TLS, false, "the target did not answer in time"},
        {PEER_HALF, USEC_PER_SEC / 2, PROBE_REFUSED, false,
         "the target did not finish the handshake in time"},
        {PEER_GARBAGE, PATIENCE_USEC, PROBE_NO_TLS, false,
         "the target answered with something that is not TLS"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        PEER(.mode = rows[i].mode);
        Handshake h;

        ASSERT_OK(offer_within(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, rows[i].usec, &h));
        ASSERT_STR(h.detail, rows[i].detail);
        ASSERT_EQ(h.answer, rows[i].answer);
        ASSERT_EQ(h.closed_silently, rows[i].closed_silently);
        ASSERT_TRUE(rows[i].mode != PEER_CERTIFICATE || peer_result(&p) == 'x');
    }
}

TEST(cancelled)
{
    _cleanup_(closep) int fd = -EBADF;
    ProbeRequest q;
    int ends[2];

    PEER(.mode = PEER_SILENT);
    Handshake h;
    fill_request(&p, PEER_IDENTITY_1, psk, 32, &q);
    ASSERT_OK(connect_target(&q.target, -1, now_monotonic() + PATIENCE_USEC, &fd));
    ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    close(ends[1]);
    ASSERT_OK(
        handshake_offer(fd, &q, PSK_HASH_SHA256, ends[0], now_monotonic() + PATIENCE_USEC, &h));
    close(ends[0]);
    ASSERT_TRUE(h.cancelled);
    ASSERT_TRUE(h.answer != PROBE_ACCEPTED);
}

/* True if the peer seems to expect TLS. */
static bool expects(const Peer *p)
{
    _cleanup_(closep) int fd = -EBADF;
    ProbeRequest q;

    fill_request(p, PEER_IDENTITY_1, p->psk, 32, &q);
    return connect_target(&q.target, -1, now_monotonic() + PATIENCE_USEC, &fd) == 0 &&
           handshake_is_expected(
               fd, -1,
               now_monotonic() + (p->mode == PEER_LIKE_NVME ? PATIENCE_USEC : USEC_PER_SEC / 2));
}

TEST(expected_by_tlshd)
{
    PEER(.mode = PEER_LIKE_TLSHD);

    ASSERT_TRUE(expects(&p));
}

TEST(not_expected_by_nvme)
{
    PEER(.mode = PEER_LIKE_NVME);

    ASSERT_TRUE(!expects(&p));
}
