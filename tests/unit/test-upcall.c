/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "basic/log.h"
#include "keyd-fixture.h"
#include "nvme-keyd/upcall.h"

#define PAIR NAMES_PAIR_REQUEST HOST " " SUBSYSTEM
#define DIGEST "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define SOON_USEC ((uint64_t)300 * 1000)

static UpcallRequest request;
static UpcallReply reply;

/* The request as a shim sends it; returns its size. */
static size_t set_request(const char *type, const char *description)
{
    request = (UpcallRequest){.magic = UPCALL_MAGIC};
    memcpy(request.type, type, strlen(type));
    memcpy(request.description, description, strlen(description));
    return offsetof(UpcallRequest, description) + strlen(description);
}

static void ask_bytes(Fixture *f, size_t size)
{
    memset(&reply, 0xaa, sizeof(reply));
    upcall_answer(f->m, &request, size, &reply);
}

static void ask(Fixture *f, const char *type, const char *description)
{
    ask_bytes(f, set_request(type, description));
}

static bool rejected(unsigned error, unsigned timeout_sec)
{
    if (reply.magic == UPCALL_MAGIC && reply.error == error && reply.timeout_sec == timeout_sec &&
        reply.size == 0)
        return true;
    printf("# error %u, timeout %u, size %u\n", reply.error, reply.timeout_sec, reply.size);
    return false;
}

/* The answer is the bytes that the store holds for this version. */
static bool answered_with(const Fixture *f, const Key *k, unsigned version)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;
    size_t size;

    return reply.magic == UPCALL_MAGIC && reply.error == 0 &&
           manager_unseal(f->m, k, &payload) == 0 &&
           key_payload_tls_psk(payload, version, &bytes, &size) == 0 && reply.size == size &&
           memcmp(reply.payload, bytes, size) == 0;
}

static bool answered_with_text(const char *text)
{
    if (reply.magic == UPCALL_MAGIC && reply.error == 0 && reply.size == strlen(text) &&
        memcmp(reply.payload, text, reply.size) == 0)
        return true;
    printf("# error %u: %.*s\n", reply.error, (int)reply.size, (const char *)reply.payload);
    return false;
}

/* A miss is logged, which is not what these tests are about. */
#define UPCALL_FIXTURE                                                                             \
    FIXTURE;                                                                                       \
    setenv(NAMES_ENV_LOG_LEVEL, "err", 1);                                                         \
    log_setup(NULL)

TEST(identity)
{
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ask(&f, "user", k->identities[0]);
    ASSERT_TRUE(answered_with(&f, k, 0));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(&f, k, 1));
    /* Nothing but the answer is in the packet. */
    for (size_t i = reply.size; i < sizeof(reply.payload); i++)
        ASSERT_EQ(reply.payload[i], 0);
    /* The answer comes from the store, whatever the ring has. */
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(&f, k, 1));
}

TEST(identity_miss)
{
    char other[PSK_IDENTITY_MAX + 2];
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    f.config.negative_timeout_sec = 17;
    manager_set_config(f.m, &f.config);
    /* Not the version that is published; another pair, hash, digest; something behind it. */
    ask(&f, "user", "NVMe0R01 " HOST " " SUBSYSTEM);
    ASSERT_TRUE(rejected(ENOKEY, 17));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM "b " DIGEST);
    ASSERT_TRUE(rejected(ENOKEY, 17));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM " " DIGEST);
    ASSERT_TRUE(rejected(ENOKEY, 17));
    snprintf(other, sizeof(other), "%s", k->identities[1]);
    other[7] = '2';
    ask(&f, "user", other);
    ASSERT_TRUE(rejected(ENOKEY, 17));
    snprintf(other, sizeof(other), "%s ", k->identities[1]);
    ask(&f, "user", other);
    ASSERT_TRUE(rejected(ENOKEY, 17));
    /* The key type of the real ring is not that of this one. */
    ask(&f, "psk", k->identities[1]);
    ASSERT_TRUE(rejected(ENOKEY, 17));
}

TEST(identity_malformed)
{
    static const char *const texts[] = {
        "NVMe",
        "NVMe1R01",
        "NVMe1G01 " HOST " " SUBSYSTEM " " DIGEST,
        "NVMe2R01 " HOST " " SUBSYSTEM,
        "NVMe1R01 " HOST "  " SUBSYSTEM,
        "NVMe1R01 " HOST " iqn.x",
        "\xff\xfe",
        "\n\x1b[31m",
        NAMES_PAIR_REQUEST,
        NAMES_PAIR_REQUEST " ",
        NAMES_PAIR_REQUEST HOST,
        NAMES_PAIR_REQUEST HOST " ",
        NAMES_PAIR_REQUEST " " SUBSYSTEM,
        NAMES_PAIR_REQUEST HOST "  " SUBSYSTEM,
        PAIR " ",
        PAIR " x",
    };
    UPCALL_FIXTURE;

    ASSERT_TRUE(fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        ask(&f, "user", texts[i]);
        if (!rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC))
            TEST_FAIL("\"%s\"", texts[i]);
    }
}

/* A requester cannot know the digest: the keys are published, and it is to search again. */
TEST(identity_without_digest)
{
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM);
    ASSERT_TRUE(rejected(EAGAIN, 1));
    ASSERT_TRUE(ring_has_key(&f, k, 1));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM "b");
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
}

TEST(pair)
{
    char text[64];
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_TRUE(fixture_add(&f, "nqn.2026-11.org.example:b", KEY_ROLE_TARGET, 1));
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(ring_has_key(&f, k, 0) && ring_has_key(&f, k, 1));
    snprintf(text, sizeof(text), "%d %d", k->serials[0], k->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_EQ(ring_size(), 2);
    /* Again: nothing is made anew. */
    ask(&f, "user", PAIR);
    ASSERT_TRUE(answered_with_text(text));
    ask(&f, "user", PAIR "x");
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
    /* Whatever the type of the ring's keys, this request is a `user` key. */
    ask(&f, "psk", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
}

TEST(pair_gone)
{
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(fixture_remove(&f, k->id));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
    ASSERT_EQ(ring_size(), 0);
}

/* While a target accepts two keys all three serials are told; version 0 means the new one. */
TEST(overlap)
{
    char text[64];
    Key *k, *new;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ask(&f, "user", new->identities[0]);
    ASSERT_TRUE(answered_with(&f, new, 0));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(&f, k, 1));
    ask(&f, "user", new->identities[1]);
    ASSERT_TRUE(answered_with(&f, new, 1));
    ask(&f, "user", PAIR);
    snprintf(text, sizeof(text), "%d %d %d", k->serials[1], new->serials[0], new->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_TRUE(ring_has_key(&f, new, 0));
}

/* A retiring key whose time is over, met while the ring is a new one: it is not told. */
TEST(overlap_ends_with_ring)
{
    char text[64];
    Key *k, *new;
    UPCALL_FIXTURE;

    f.config.retire_usec = SOON_USEC;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(fixture_keys(&f), 2);
    (void)usleep(SOON_USEC);
    ASSERT_OK(keyctl_revoke(fixture_ring()));
    ask(&f, "user", PAIR);
    snprintf(text, sizeof(text), "%d %d", new->serials[0], new->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_TRUE(ring_has_key(&f, new, 0) && ring_has_key(&f, new, 1));
}

TEST(no_ring)
{
    Key *k;
    UPCALL_FIXTURE;

    if (find_key_by_type_and_desc("keyring", NAMES_RING, 0) >= 0)
        TEST_SKIP("this kernel has " NAMES_RING);
    f.config.stand_in = false;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ask(&f, "psk", k->identities[1]);
    ASSERT_TRUE(answered_with(&f, k, 1));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
    ask(&f, "psk", "NVMe1R01 " HOST " " SUBSYSTEM);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
}

/* No packet of ours: it is not read further than it reaches. */
TEST(bad_packets)
{
    size_t size;
    UPCALL_FIXTURE;

    size = set_request("user", PAIR);
    for (size_t n = 0; n <= offsetof(UpcallRequest, description); n++) {
        ask_bytes(&f, n);
        ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));
    }
    request.magic++;
    ask_bytes(&f, size);
    ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));

    (void)set_request("user", PAIR);
    memset(request.type, 'x', sizeof(request.type));
    ask_bytes(&f, size);
    ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));

    (void)set_request("user", PAIR);
    ask_bytes(&f, size + 1);
    ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));
}

TEST(huge)
{
    size_t head;
    UPCALL_FIXTURE;

    /* To its very end: it has a byte of padding, which is none of the description. */
    head = set_request("user", NAMES_PAIR_REQUEST);
    memset((char *)&request + head, 'n', sizeof(request) - head);
    ask_bytes(&f, offsetof(UpcallRequest, description) + KEY_DESCRIPTION_MAX);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
    for (size_t n = 1; n < 8; n++) {
        ask_bytes(&f, offsetof(UpcallRequest, description) + KEY_DESCRIPTION_MAX + n);
        ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));
    }
    ask_bytes(&f, SIZE_MAX);
    ASSERT_TRUE(rejected(EINVAL, UPCALL_NEGATIVE_TIMEOUT_SEC));
    memset(&request.description, ' ', sizeof(request.description));
    ask_bytes(&f, offsetof(UpcallRequest, description) + KEY_DESCRIPTION_MAX);
    ASSERT_TRUE(rejected(ENOKEY, UPCALL_NEGATIVE_TIMEOUT_SEC));
}

TEST_MAIN(TEST_ENTRY(identity), TEST_ENTRY(identity_miss), TEST_ENTRY(identity_malformed),
          TEST_ENTRY(identity_without_digest), TEST_ENTRY(pair), TEST_ENTRY(pair_gone),
          TEST_ENTRY(overlap), TEST_ENTRY(overlap_ends_with_ring), TEST_ENTRY(no_ring),
          TEST_ENTRY(bad_packets), TEST_ENTRY(huge))
