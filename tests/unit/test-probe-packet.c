/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "probe/packet.h"
#include "test.h"
#include "tls-peer.h"

static ProbeTarget make_target(void)
{
    ProbeTarget t;
    const char *what;

    if (probe_target_set("::1", 4420, NULL, NULL, &t, &what) < 0)
        abort();
    return t;
}

static Secret *make_request(const char *identity, size_t size)
{
    const ProbeTarget t = make_target();
    uint8_t psk[PSK_SIZE_MAX];
    Secret *s = NULL;

    peer_psk(3, psk, sizeof(psk));
    return probe_request_new(&t, identity, psk, size, false, &s) == 0 ? s : NULL;
}

TEST(requests)
{
    static const char *const identities[] = {PEER_IDENTITY_0, PEER_IDENTITY_1, PEER_IDENTITY_1_384};

    for (size_t i = 0; i < ARRAY_SIZE(identities); i++) {
        PskHash hash = i == 2 ? PSK_HASH_SHA384 : PSK_HASH_SHA256, found;
        _cleanup_(secret_freep) Secret *s = make_request(identities[i], psk_hash_size(hash));

        ASSERT_TRUE(s);
        ASSERT_EQ(s->size, sizeof(ProbeRequest));
        ASSERT_OK(probe_request_check(s->data, s->size, &found));
        ASSERT_EQ(found, hash);
        ASSERT_STR(((const ProbeRequest *)(void *)s->data)->identity, identities[i]);
    }
}

/* Only a PSK of SHA-384 can be offered as one of another hash. */
TEST(as_sha256)
{
    const ProbeTarget t = make_target();
    uint8_t psk[PSK_SIZE_MAX] = {1};
    PskHash hash;

    for (unsigned long_psk = 0; long_psk < 2; long_psk++) {
        _cleanup_(secret_freep) Secret *s = NULL;
        ProbeRequest *q;

        ASSERT_OK(probe_request_new(&t, long_psk ? PEER_IDENTITY_1_384 : PEER_IDENTITY_1, psk,
                                    long_psk ? 48 : 32, true, &s));
        q = (ProbeRequest *)(void *)s->data;
        ASSERT_EQ(q->as_sha256, long_psk);
        ASSERT_OK(probe_request_check(q, sizeof(*q), &hash));
        q->as_sha256++;
        ASSERT_EQ(probe_request_check(q, sizeof(*q), &hash), -EBADMSG);
    }
}

TEST(requests_that_cannot_be)
{
    _cleanup_(secret_freep) Secret *s = NULL;
    ProbeTarget t = make_target();
    uint8_t psk[PSK_SIZE_MAX] = {0};

    ASSERT_TRUE(!make_request(PEER_IDENTITY_1, 48));
    ASSERT_TRUE(!make_request("NVMe1R01 nqn.x:h nqn.x:s", 32));
    ASSERT_TRUE(!make_request("NVMe1G01 nqn.x:h nqn.x:s", 32));
    ASSERT_TRUE(!make_request("", 32));
    t.port = 0;
    ASSERT_EQ(probe_request_new(&t, PEER_IDENTITY_1, psk, 32, false, &s), -EINVAL);
}

TEST(malformed_requests)
{
    _cleanup_(secret_freep) Secret *good = make_request(PEER_IDENTITY_1, 32);
    ProbeRequest q;
    PskHash hash;

    ASSERT_TRUE(good);
#define BROKEN(change)                                                                             \
    do {                                                                                           \
        memcpy(&q, good->data, sizeof(q));                                                         \
        change;                                                                                    \
        ASSERT_EQ(probe_request_check(&q, sizeof(q), &hash), -EBADMSG);                            \
    } while (0)
    BROKEN(q.magic++);
    BROKEN(q.psk_size = 31);
    BROKEN(q.psk_size = 48);
    BROKEN(q.psk_size = UINT32_MAX);
    BROKEN(q.psk[32] = 1);
    BROKEN(q.identity[0] = 'n');
    BROKEN(q.identity[PSK_IDENTITY_MAX] = 'x');
    BROKEN(memset(q.identity, 'x', sizeof(q.identity)));
    BROKEN(q.target.port = 0);
    BROKEN(memset(q.target.address, '1', sizeof(q.target.address)));
#undef BROKEN
    ASSERT_EQ(probe_request_check(good->data, sizeof(q) - 1, &hash), -EBADMSG);
    ASSERT_OK(probe_request_check(good->data, sizeof(q), &hash));
}

TEST(replies)
{
    char text[2 * PROBE_DETAIL_MAX];
    ProbeReply r;

    probe_reply_set(&r, PROBE_OWN, "a line");
    ASSERT_OK(probe_reply_check(&r, sizeof(r)));
    ASSERT_STR(r.detail, "a line");
    ASSERT_STR(probe_answer_to_string((ProbeAnswer)r.answer), "own");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    probe_reply_set(&r, PROBE_ACCEPTED, text);
    ASSERT_OK(probe_reply_check(&r, sizeof(r)));
    ASSERT_EQ(strlen(r.detail), PROBE_DETAIL_MAX);
    probe_reply_set(&r, PROBE_ACCEPTED, "two\nlines");
    ASSERT_OK(probe_reply_check(&r, sizeof(r)));
    ASSERT_STR(r.detail, "");

    ASSERT_EQ(probe_reply_check(&r, sizeof(r) - 1), -EBADMSG);
    r.answer = PROBE_UNAVAILABLE + 1;
    ASSERT_EQ(probe_reply_check(&r, sizeof(r)), -EBADMSG);
    probe_reply_set(&r, PROBE_ACCEPTED, "x");
    strcpy(r.detail, "\033[1m");
    ASSERT_EQ(probe_reply_check(&r, sizeof(r)), -EBADMSG);
    probe_reply_set(&r, PROBE_ACCEPTED, "x");
    r.detail[5] = 'y';
    ASSERT_EQ(probe_reply_check(&r, sizeof(r)), -EBADMSG);
    r.magic = PROBE_REQUEST_MAGIC;
    ASSERT_EQ(probe_reply_check(&r, sizeof(r)), -EBADMSG);
}
