/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "probe/look.h"
#include "test.h"
#include "tls-peer.h"

static int look_as(const Peer *p, const char *identity, const uint8_t *psk, PskHash hash,
                   bool as_sha256, ProbeReply *ret)
{
    _cleanup_(secret_freep) Secret *s = NULL;
    ProbeTarget target;
    const char *what;
    PskHash found;
    int r;

    if (probe_target_set(p->family == AF_INET6 ? "::1" : "127.0.0.1", p->port, NULL, NULL, &target,
                         &what) < 0)
        return -EINVAL;
    r = probe_request_new(&target, identity, psk, psk_hash_size(hash), as_sha256, &s);
    if (r == 0)
        r = probe_request_check(s->data, s->size, &found);
    if (r < 0 || found != hash)
        return r < 0 ? r : -EBADMSG;
    return look_at_target((const ProbeRequest *)(void *)s->data, hash, -1, ret);
}

static int look(const Peer *p, const char *identity, const uint8_t *psk, PskHash hash,
                ProbeReply *ret)
{
    return look_as(p, identity, psk, hash, false, ret);
}

TEST(accepted)
{
    PEER(.mode = PEER_TLS);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_OK(probe_reply_check(&reply, sizeof(reply)));
    ASSERT_EQ(reply.answer, PROBE_ACCEPTED);
    ASSERT_EQ(peer_result(&p), 'c');
}

/* A refusal by this machine's own target says nothing about the key. */
TEST(own_target)
{
    PEER(.mode = PEER_TLS);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_0, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_OWN);
    ASSERT_TRUE(strstr(reply.detail, "the target sent the alert"));
}

/* Nothing has refused the key. */
TEST(own_closed_port)
{
    PEER(.mode = PEER_TLS, .family = AF_INET6);
    ProbeReply reply;

    peer_stop(&p);
    p.pid = 0;
    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_UNREACHABLE);
    ASSERT_STR(reply.detail, "cannot connect: Connection refused");
}

/* The target and tlshd of this host have to agree about the hash, so nothing else is tried. */
TEST(sha384)
{
    static const PskHash hashes[] = {PSK_HASH_SHA256, PSK_HASH_SHA384};

    for (unsigned i = 0; i < 4; i++) {
        bool as_sha256 = i % 2,
             fits = hashes[i / 2] == (as_sha256 ? PSK_HASH_SHA256 : PSK_HASH_SHA384);
        PEER(.mode = PEER_TLS, .size = 48, .identity = PEER_IDENTITY_1_384, .hash = hashes[i / 2]);
        ProbeReply reply;

        ASSERT_OK(look_as(&p, PEER_IDENTITY_1_384, psk, PSK_HASH_SHA384, as_sha256, &reply));
        ASSERT_EQ(reply.answer, fits ? PROBE_ACCEPTED : PROBE_OWN);
        ASSERT_TRUE(strstr(reply.detail, as_sha256 ? "SHA256" : "SHA384") ||
                    strstr(reply.detail, as_sha256 ? "SHA-256" : "SHA-384"));
        ASSERT_EQ(peer_result(&p), fits ? 'c' : 'x');
    }
}

/* Where a handshake alone would not tell. */
TEST(other_peers)
{
    static const struct {
        PeerMode mode;
        ProbeAnswer answer;
        const char *detail;
    } rows[] = {
        {PEER_LIKE_NVME, PROBE_NO_TLS,
         "the target closes the connection when a TLS handshake begins"},
        {PEER_LIKE_TLSHD, PROBE_OWN, "the target closed the connection during the handshake"},
        {PEER_GARBAGE, PROBE_NO_TLS, "the target answered with something that is not TLS"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        PEER(.mode = rows[i].mode);
        ProbeReply reply;

        ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
        ASSERT_STR(reply.detail, rows[i].detail);
        ASSERT_EQ(reply.answer, rows[i].answer);
    }
}

TEST(interface_is_missing)
{
    ProbeRequest q = {.target = {.address = "127.0.0.1", .port = 1, .interface = "keyd-none"}};
    ProbeReply reply;

    ASSERT_OK(look_at_target(&q, PSK_HASH_SHA256, -1, &reply));
    ASSERT_EQ(reply.answer, PROBE_UNREACHABLE);
    ASSERT_STR(reply.detail, "cannot connect: No such device");
}
