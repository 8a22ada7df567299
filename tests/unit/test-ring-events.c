/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "keyring/ring-events.h"
#include "test.h"

/* Notifications about the ring: their records, and those of a kernel that has them. */

#define RING 0x1234

typedef struct Record {
    uint32_t words[4];
    size_t n;
} Record;

/* A record of watch_queue: type, subtype, its length in bytes. */
static void put(Record *r, uint32_t type, uint32_t subtype, uint32_t length)
{
    r->words[0] = type | subtype << 24;
    r->words[1] = length | 0x100;
    r->words[2] = RING;
    r->words[3] = 7;
    r->n = length;
}

static int news(uint32_t type, uint32_t subtype, uint32_t length)
{
    Record r = {.n = 0};

    put(&r, type, subtype, length);
    return ring_events_parse(r.words, r.n, RING);
}

TEST(records)
{
    enum {
        META,
        KEY
    };

    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        TEST_SKIP("the records here are of a little-endian machine");
    ASSERT_EQ(ring_events_parse("", 0, RING), RING_NO_NEWS);
    ASSERT_EQ(news(KEY, 0, 16), RING_NO_NEWS); /* instantiated */
    ASSERT_EQ(news(KEY, 1, 16), RING_NO_NEWS); /* updated */
    ASSERT_EQ(news(KEY, 2, 16), RING_CHANGED); /* linked */
    ASSERT_EQ(news(KEY, 3, 16), RING_CHANGED); /* unlinked */
    ASSERT_EQ(news(KEY, 4, 16), RING_CHANGED); /* cleared */
    ASSERT_EQ(news(KEY, 5, 16), RING_GONE);    /* revoked */
    ASSERT_EQ(news(KEY, 6, 16), RING_GONE);    /* invalidated */
    ASSERT_EQ(news(KEY, 7, 16), RING_NO_NEWS); /* attributes */
    ASSERT_EQ(news(META, 0, 8), RING_GONE);    /* not watched any more */
    ASSERT_EQ(news(META, 0, 16), RING_GONE);
    ASSERT_EQ(news(META, 1, 8), RING_CHANGED); /* records were lost */
    ASSERT_EQ(news(META, 2, 8), RING_NO_NEWS);
    ASSERT_EQ(news(2, 2, 16), RING_NO_NEWS);
}

TEST(several)
{
    uint32_t words[10] = {1 | 7 << 24, 0x110, RING,     7, /* attributes of the ring */
                          1 | 2 << 24, 0x110, RING + 1, 7, /* another ring */
                          0 | 1 << 24, 0x108};             /* lost */

    ASSERT_EQ(ring_events_parse(words, 16, RING), RING_NO_NEWS);
    ASSERT_EQ(ring_events_parse(words, 32, RING), RING_NO_NEWS);
    ASSERT_EQ(ring_events_parse(words, 40, RING), RING_CHANGED);
    ASSERT_EQ(ring_events_parse(words, 32, RING + 1), RING_CHANGED);
}

TEST(malformed)
{
    uint32_t words[4] = {1 | 2 << 24, 0x110, RING, 7};

    for (size_t size = 1; size < sizeof(words); size++)
        ASSERT_EQ(ring_events_parse(words, size, RING), -EBADMSG);
    words[1] = 0x100;
    ASSERT_EQ(ring_events_parse(words, sizeof(words), RING), -EBADMSG);
    words[1] = 0x108;
    ASSERT_EQ(ring_events_parse(words, 8, RING), -EBADMSG);
    words[1] = 0x17f;
    ASSERT_EQ(ring_events_parse(words, sizeof(words), RING), -EBADMSG);
}

static bool is_readable(const RingEvents *e)
{
    struct pollfd p = {.fd = ring_events_fd(e), .events = POLLIN};

    return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

/* In a user namespace of its own root has another user keyring. */
TEST(of_the_kernel)
{
    _cleanup_(ring_events_closep) RingEvents *e = NULL;
    _cleanup_(ring_closep) Ring *r = NULL;
    int32_t serial;
    int error;

    if (unshare(CLONE_NEWUSER) < 0)
        TEST_SKIP("needs user namespaces");
    ASSERT_OK(ring_open(true, &r));
    error = ring_events_open(r, &e);
    if (error < 0) {
        ASSERT_TRUE(!e);
        TEST_SKIP("this kernel reports no changes of keyrings");
    }
    ASSERT_TRUE(!is_readable(e));
    ASSERT_EQ(ring_events_read(e), RING_NO_NEWS);
    ASSERT_OK(ring_add(r, "a", "x", 1, false, &serial));
    ASSERT_TRUE(is_readable(e));
    ASSERT_EQ(ring_events_read(e), RING_CHANGED);
    ASSERT_TRUE(!is_readable(e));
    ASSERT_OK(keyctl_unlink(serial, ring_serial(r)));
    ASSERT_EQ(ring_events_read(e), RING_CHANGED);
    ASSERT_OK(ring_add(r, "a", "x", 1, false, &serial));
    ASSERT_OK(keyctl_clear(ring_serial(r)));
    ASSERT_EQ(ring_events_read(e), RING_CHANGED);
    ASSERT_EQ(ring_events_read(e), RING_NO_NEWS);

    /* More than the queue holds: some are lost, and the ring has changed. */
    for (unsigned i = 0; i < 200; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "%u", i);
        ASSERT_OK(ring_add(r, name, "x", 1, false, &serial));
    }
    ASSERT_EQ(ring_events_read(e), RING_CHANGED);
    ASSERT_EQ(ring_events_read(e), RING_NO_NEWS);
    ASSERT_OK(keyctl_unlink(serial, ring_serial(r)));
    ASSERT_EQ(ring_events_read(e), RING_CHANGED);

    ASSERT_OK(keyctl_revoke(ring_serial(r)));
    ASSERT_EQ(ring_events_read(e), RING_GONE);
}
