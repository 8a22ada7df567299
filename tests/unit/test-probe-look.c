/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "probe/look.h"
#include "test.h"
#include "tls-peer.h"

static int look(const Peer *p, const char *identity, const uint8_t *psk, PskHash hash,
                ProbeReply *ret)
{
    _cleanup_(secret_freep) Secret *s = NULL;
    ProbeTarget target;
    const char *what;
    PskHash found;
    int r;

    if (probe_target_set(p->family == AF_INET6 ? "::1" : "127.0.0.1", p->port, NULL, NULL, &target,
                         &what) < 0)
        return -EINVAL;
    r = probe_request_new(&target, identity, psk, psk_hash_size(hash), &s);
    if (r == 0)
        r = probe_request_check(s->data, s->size, &found);
    if (r < 0 || found != hash)
        return r < 0 ? r : -EBADMSG;
    return look_at_target((const ProbeRequest *)(void *)s->data, hash, -1, ret);
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
    ASSERT_TRUE(strstr(reply.detail, "at an address of this machine the target sent the alert"));
}

TEST(own_closed_port)
{
    PEER(.mode = PEER_TLS, .family = AF_INET6);
    ProbeReply reply;

    peer_stop(&p);
    p.pid = 0;
    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_OWN);
    ASSERT_STR(reply.detail, "at an address of this machine cannot connect: Connection refused");
}

TEST(sha384_as_tlshd_1_0_does)
{
    PEER(.mode = PEER_TLS, .size = 48, .identity = PEER_IDENTITY_1_384, .hash = PSK_HASH_SHA256);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_1_384, psk, PSK_HASH_SHA384, &reply));
    ASSERT_EQ(reply.answer, PROBE_ACCEPTED);
    ASSERT_TRUE(strstr(reply.detail, "TLS_AES_128_GCM_SHA256"));
    ASSERT_EQ(peer_result(&p), 'x');
    ASSERT_EQ(peer_result(&p), 'c');
}

TEST(no_tls)
{
    PEER(.mode = PEER_LIKE_NVME);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_NO_TLS);
    ASSERT_STR(reply.detail, "the target closes the connection when a TLS handshake begins");
}

TEST(refused_without_an_alert)
{
    PEER(.mode = PEER_LIKE_TLSHD);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_OWN);
    ASSERT_TRUE(strstr(reply.detail, "closed the connection during the handshake"));
}

TEST(garbage)
{
    PEER(.mode = PEER_GARBAGE);
    ProbeReply reply;

    ASSERT_OK(look(&p, PEER_IDENTITY_1, psk, PSK_HASH_SHA256, &reply));
    ASSERT_EQ(reply.answer, PROBE_NO_TLS);
}

TEST(interface_is_missing)
{
    ProbeRequest q = {.target = {.address = "127.0.0.1", .port = 1, .interface = "keyd-none"}};
    ProbeReply reply;

    ASSERT_OK(look_at_target(&q, PSK_HASH_SHA256, -1, &reply));
    ASSERT_EQ(reply.answer, PROBE_UNREACHABLE);
    ASSERT_STR(reply.detail, "cannot connect: No such device");
}
