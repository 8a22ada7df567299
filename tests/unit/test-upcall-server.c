/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "basic/limits.h"
#include "basic/log.h"
#include "keyd-fixture.h"
#include "nvme-keyd/upcall/answer.h"
#include "nvme-keyd/upcall/limits.h"
#include "psk/limits.h"

#define PAIR NAMES_PAIR_REQUEST HOST " " SUBSYSTEM
#define DIGEST "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwM="
#define RETIRE_USEC (3600 * USEC_PER_SEC)

static UpcallRequest request;
static UpcallReply reply;

/* Fills in a request as the shim sends it, and returns its size. */
static size_t set_request(const char *type, const char *description)
{
    request = (UpcallRequest){.magic = UPCALL_MAGIC};
    memcpy(request.type, type, strlen(type));
    memcpy(request.text, description, strlen(description));
    return offsetof(UpcallRequest, text) + strlen(description);
}

static void ask_bytes(Fixture *f, size_t size)
{
    memset(&reply, 0xaa, sizeof(reply));
    upcall_answer(f->m, &request, size, &reply);
}

static void ask_with(Fixture *f, const char *description, const char *callout)
{
    size_t size = set_request("user", description);

    memcpy((char *)&request + size + 1, callout, strlen(callout));
    ask_bytes(f, size + 1 + strlen(callout));
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

/* True if the reply has the bytes of this version in the store. */
static bool answered_with(const Key *k, unsigned version)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    const uint8_t *bytes;
    size_t size;

    return reply.magic == UPCALL_MAGIC && reply.error == 0 && key_unseal(k, &payload) == 0 &&
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

/* Each miss logs a notice, which would only clutter the output. */
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
    ASSERT_TRUE(answered_with(k, 0));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(k, 1));
    /* The rest of the packet is zero. */
    for (size_t i = reply.size; i < sizeof(reply.payload); i++)
        ASSERT_EQ(reply.payload[i], 0);
    /* The answer comes from the store, whatever the ring has. */
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(k, 1));
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
    /* A version that is not published; another pair, hash or digest; more text at the end. */
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
    /* The stand-in has another key type than the real ring. */
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
        if (!rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC))
            TEST_FAIL("\"%s\"", texts[i]);
    }
}

/* A requester cannot know the digest, so the keys are published and the kernel has to search
 * again. */
TEST(identity_without_digest)
{
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(keyctl_clear(fixture_ring()));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM);
    ASSERT_TRUE(rejected(EAGAIN, 2));
    ASSERT_TRUE(ring_has_key(k, 1));
    ask(&f, "user", "NVMe1R01 " HOST " " SUBSYSTEM "b");
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
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
    ASSERT_TRUE(ring_has_key(k, 0) && ring_has_key(k, 1));
    snprintf(text, sizeof(text), "%d %d", k->serials[0], k->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_EQ(ring_size(), 2);
    /* The second time nothing is added. */
    ask(&f, "user", PAIR);
    ASSERT_TRUE(answered_with_text(text));
    ask(&f, "user", PAIR "x");
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    /* This request is of type `user`, whatever the type of the keys in the ring. */
    ask(&f, "psk", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
}

TEST(pair_gone)
{
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(fixture_remove(&f, k->id));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    ASSERT_EQ(ring_size(), 0);
}

/* During an overlap all three serials are in the answer; version 0 is that of the new key. */
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
    ASSERT_TRUE(answered_with(new, 0));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(answered_with(k, 1));
    ask(&f, "user", new->identities[1]);
    ASSERT_TRUE(answered_with(new, 1));
    ask(&f, "user", PAIR);
    snprintf(text, sizeof(text), "%d %d %d", k->serials[1], new->serials[0], new->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_TRUE(ring_has_key(new, 0));
}

/* A retiring key past its deadline is not in the answer, also when the ring is new. */
TEST(overlap_ends_with_ring)
{
    char text[64];
    Key *k, *new;
    UPCALL_FIXTURE;

    f.config.retire_usec = RETIRE_USEC;
    manager_set_config(f.m, &f.config);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(fixture_keys(&f), 2);
    clock_ahead_usec += RETIRE_USEC;
    ASSERT_OK(keyctl_revoke(fixture_ring()));
    ask(&f, "user", PAIR);
    snprintf(text, sizeof(text), "%d %d", new->serials[0], new->serials[1]);
    ASSERT_TRUE(answered_with_text(text));
    ASSERT_TRUE(ring_has_key(new, 0) && ring_has_key(new, 1));
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
    ASSERT_TRUE(answered_with(k, 1));
    ask(&f, "user", k->identities[1]);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    ask(&f, "psk", "NVMe1R01 " HOST " " SUBSYSTEM);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
}

/* A malformed packet is not read beyond its end. */
TEST(bad_packets)
{
    size_t size;
    UPCALL_FIXTURE;

    size = set_request("user", PAIR);
    for (size_t n = 0; n <= offsetof(UpcallRequest, text); n++) {
        ask_bytes(&f, n);
        ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    }
    request.magic++;
    ask_bytes(&f, size);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));

    (void)set_request("user", PAIR);
    memset(request.type, 'x', sizeof(request.type));
    ask_bytes(&f, size);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));

    (void)set_request("user", PAIR);
    ask_bytes(&f, size + 1);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
}

/* A callout follows one NUL, and is not empty. */
TEST(bad_callouts)
{
    size_t size;
    UPCALL_FIXTURE;

    size = set_request("user", PAIR);
    ask_bytes(&f, size + 1);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    memcpy((char *)&request + size, "\0a\0b", 4);
    ask_bytes(&f, size + 4);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    ask_bytes(&f, size + 3);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    ask_bytes(&f, size + 2);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    /* A callout without a description. */
    request.text[0] = '\0';
    ask_bytes(&f, size);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
}

/* Words restrict the list of serials, and unknown words are ignored. */
TEST(callouts)
{
    static const struct {
        const char *callout;
        unsigned versions; /* 0 for a miss */
    } cases[] = {
        {"version=0", 1},
        {"version=1", 2},
        {"hash=sha256", 3},
        {"  hash=sha256   version=1 ", 2},
        {"hash=sha384", 0},
        {"x Version=0 version1=0 hash-=sha384 =1 =", 3},
        {"v=0123456789012345678901234567890", 3},
        {" ", 3},
    };
    static const char *const bad[] = {
        "version=2",        "version=", "version", "hash=SHA256", "hash=0123456789012345678901",
        "version=0 hash=x", "hash=none"};
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_TARGET, 1);
    ASSERT_TRUE(k);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[64];

        ask_with(&f, PAIR, cases[i].callout);
        snprintf(text, sizeof(text), "%.0d%s%.0d", cases[i].versions & 1 ? k->serials[0] : 0,
                 cases[i].versions == 3 ? " " : "", cases[i].versions & 2 ? k->serials[1] : 0);
        if (cases[i].versions ? !answered_with_text(text) : !rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC))
            TEST_FAIL("\"%s\"", cases[i].callout);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ask_with(&f, PAIR, bad[i]);
        if (!rejected(EINVAL, NEGATIVE_TIMEOUT_SEC))
            TEST_FAIL("\"%s\"", bad[i]);
    }
    /* A request for one key has nothing to choose from. */
    ask_with(&f, k->identities[1], "version=0");
    ASSERT_TRUE(answered_with(k, 1));
}

static void set_on_demand(Fixture *f, bool force)
{
    f->config.on_demand = true;
    f->config.on_demand_force = force;
    manager_set_config(f->m, &f->config);
}

/* Keys of hosts are published by a request, for a time; those of targets always. */
TEST(on_demand)
{
    ReconcileResult result;
    Key *host, *target;
    UPCALL_FIXTURE;

    set_on_demand(&f, true);
    host = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    target = fixture_add(&f, "nqn.2026-11.org.example:t", KEY_ROLE_TARGET, 2);
    ASSERT_TRUE(host && target);
    ASSERT_TRUE(!publisher_lacks(manager_publisher(f.m), host) &&
                !publisher_lacks(manager_publisher(f.m), target));
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(!ring_has_key(host, 1) && ring_has_key(target, 0));
    ASSERT_EQ(seconds_left(target->serials[0]), 0);

    ask(&f, "user", PAIR);
    ASSERT_EQ(reply.error, 0);
    ASSERT_EQ(reply.timeout_sec, UPCALL_ANSWER_SEC);
    ASSERT_TRUE(ring_has_key(host, 1));
    ASSERT_TRUE(seconds_left(host->serials[1]) > 50 && seconds_left(host->serials[1]) <= 60);
    /* Each request starts the time again. */
    ASSERT_OK(keyctl_set_timeout(host->serials[1], 5));
    ask(&f, "user", PAIR);
    ASSERT_TRUE(seconds_left(host->serials[1]) > 50);
    ask(&f, "user", host->identities[1]);
    ASSERT_TRUE(answered_with(host, 1));
    ASSERT_EQ(reply.timeout_sec, 60);
    ask(&f, "user", target->identities[1]);
    ASSERT_EQ(reply.timeout_sec, 0);

    /* The key stays for its time, and reconciling does not bring it back afterwards. */
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(ring_has_key(host, 1));
    ASSERT_OK(keyctl_set_timeout(host->serials[1], 1));
    (void)sleep(2);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_EQ(host->serials[1], 0);
    ask(&f, "user", PAIR);
    ASSERT_TRUE(ring_has_key(host, 1));
}

/* When keys become resident they lose their timeouts, whichever process has set them. */
TEST(on_demand_ends)
{
    ReconcileResult result;
    Key *k;
    UPCALL_FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ask(&f, "user", PAIR);
    ASSERT_TRUE(seconds_left(k->serials[1]) > 50);
    f.config.on_demand = false;
    manager_set_config(f.m, &f.config);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(seconds_left(k->serials[1]), 0);

    ASSERT_OK(keyctl_set_timeout(k->serials[1], 60));
    k->lifetimes[1] = KEY_LIFETIME_UNKNOWN;
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_EQ(seconds_left(k->serials[1]), 0);
    /* And the other way round. */
    set_on_demand(&f, true);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(seconds_left(k->serials[1]) > 50);
}

/* After a rotation the new key is in the ring if the old one was. */
TEST(on_demand_rotate)
{
    Key *k, *new;
    UPCALL_FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    new = fixture_rotate(&f, k->id, 2);
    ASSERT_TRUE(new);
    ASSERT_EQ(fixture_keys(&f), 2);
    ASSERT_EQ(ring_size(), 0);
    ask(&f, "user", PAIR);
    ASSERT_TRUE(ring_has_key(new, 1));
    k = new;
    new = fixture_rotate(&f, k->id, 3);
    ASSERT_TRUE(new);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_TRUE(ring_has_key(new, 1));
    ASSERT_TRUE(seconds_left(new->serials[1]) > 50);
}

/* A key with the identity of ours and other bytes does not stay. */
TEST(on_demand_displaces)
{
    ReconcileResult result;
    Key *k;
    UPCALL_FIXTURE;

    set_on_demand(&f, true);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(add_key("user", k->identities[1], "other", 5, fixture_ring()) > 0);
    ASSERT_OK(fixture_sync(&f, &result));
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_TRUE(seconds_left(k->serials[1]) > 50);
}

/* root can request a key straight into the ring, which displaces ours. It is withdrawn with
 * ours. */
TEST(constructed_in_ring)
{
    key_serial_t other;
    Key *k;
    UPCALL_FIXTURE;

    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    other = add_key("user", k->identities[1], "x", 1, KEY_SPEC_PROCESS_KEYRING);
    ASSERT_TRUE(other > 0);
    ASSERT_OK(keyctl_link(other, fixture_ring()));
    ASSERT_TRUE(keyctl_search(fixture_ring(), "user", k->identities[1], 0) == other);
    ASSERT_EQ(ring_size(), 1);
    ASSERT_OK(fixture_remove(&f, k->id));
    ASSERT_EQ(ring_size(), 0);
    ASSERT_OK(keyctl_unlink(other, KEY_SPEC_PROCESS_KEYRING));
}

/* This kernel does not ask, so without resident keys the ring would be empty. */
TEST(on_demand_refused)
{
    Key *k;
    UPCALL_FIXTURE;

    if (access(NAMES_LIVEPATCH_ENABLED, F_OK) == 0)
        TEST_SKIP("this kernel asks");
    set_on_demand(&f, false);
    ASSERT_EQ(publisher_provision(manager_publisher(f.m)), PROVISION_REFUSED);
    k = fixture_add(&f, SUBSYSTEM, KEY_ROLE_HOST, 1);
    ASSERT_TRUE(k);
    ASSERT_TRUE(ring_has_key(k, 1));
    ASSERT_EQ(seconds_left(k->serials[1]), 0);
}

TEST(huge)
{
    size_t head, end;
    UPCALL_FIXTURE;

    head = set_request("user", NAMES_PAIR_REQUEST);
    end = offsetof(UpcallRequest, text) + KEY_DESCRIPTION_MAX;
    memset((char *)&request + head, 'n', sizeof(request) - head);
    ask_bytes(&f, end);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    for (size_t n = 1; n < 8; n++) {
        ask_bytes(&f, end + n);
        ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    }
    ask_bytes(&f, offsetof(UpcallRequest, text) + sizeof(request.text));
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    /* Up to the last byte. */
    request.text[KEY_DESCRIPTION_MAX] = '\0';
    ask_bytes(&f, offsetof(UpcallRequest, text) + sizeof(request.text));
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
    ask_bytes(&f, offsetof(UpcallRequest, text) + sizeof(request.text) + 1);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    ask_bytes(&f, SIZE_MAX);
    ASSERT_TRUE(rejected(EINVAL, NEGATIVE_TIMEOUT_SEC));
    memset(&request.text, ' ', sizeof(request.text));
    ask_bytes(&f, end);
    ASSERT_TRUE(rejected(ENOKEY, NEGATIVE_TIMEOUT_SEC));
}
