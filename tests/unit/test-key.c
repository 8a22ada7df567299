/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "nvme-keyd/api/key-json.h"
#include "nvme-keyd/keys/key-rules.h"
#include "psk/limits.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define SUBSYSTEM "nqn.2026-11.org.example:a"
#define NOW ((uint64_t)1700000000 * USEC_PER_SEC)

static const KeyRole roles[] = {KEY_ROLE_HOST, KEY_ROLE_TARGET, KEY_ROLE_BOTH};
static const PskHash hashes[] = {PSK_HASH_NONE, PSK_HASH_SHA256, PSK_HASH_SHA384};

static Secret *configured_of(PskHash hash)
{
    Secret *s = secret_new(hash == PSK_HASH_SHA384 ? 48 : 32);

    for (size_t i = 0; s && i < s->size; i++)
        s->data[i] = (uint8_t)(i * 7 + 1);
    return s;
}

/* A key with all members that key_derive() sets. */
static Key *new_key(const char *subsysnqn, KeyRole role, unsigned versions, PskHash hash,
                    Secret **ret_payload)
{
    _cleanup_(secret_freep) Secret *configured = configured_of(hash), *payload = NULL;
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));

    if (!k || !configured)
        return NULL;
    k->hostnqn = strdup(HOST);
    k->subsysnqn = strdup(subsysnqn);
    k->role = role;
    k->state = KEY_ACTIVE;
    k->hash = hash;
    k->versions = versions;
    k->created_usec = NOW;
    k->changed_usec = NOW + 1;
    if (key_derive(k, configured, &payload) != 0)
        return NULL;
    if (ret_payload)
        *ret_payload = TAKE_PTR(payload);
    return TAKE_PTR(k);
}

static bool same_text(const char *a, const char *b)
{
    return !a || !b ? a == b : strcmp(a, b) == 0;
}

static bool publishable_until(KeyState state, KeyRole role, KeyStep step, uint64_t deadline_usec)
{
    const Key k = {.state = state,
                   .role = role,
                   .step = deadline_usec > 0 ? step : KEY_STEP_NONE,
                   .deadline_usec = deadline_usec};

    return key_is_publishable(&k, NOW);
}

static bool publishable(KeyState state, KeyRole role, uint64_t deadline_usec)
{
    return publishable_until(state, role, KEY_STEP_REMOVE, deadline_usec);
}

/* Only the deadline of a retiring key counts, and only if it is its last. */
TEST(publishable)
{
    static const uint64_t deadlines[] = {0, 1, NOW - 1, NOW, NOW + 1, UINT64_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
        uint64_t deadline = deadlines[i];

        for (size_t role = 0; role < ARRAY_SIZE(roles); role++) {
            bool target = roles[role] == KEY_ROLE_TARGET;

            ASSERT_EQ(publishable(KEY_PENDING, roles[role], deadline), target);
            ASSERT_EQ(publishable(KEY_ACTIVE, roles[role], deadline), true);
            ASSERT_EQ(publishable(KEY_RETIRING, roles[role], deadline),
                      target && (deadline == 0 || deadline > NOW));
            ASSERT_EQ(publishable_until(KEY_RETIRING, roles[role], KEY_STEP_REVOKE, deadline),
                      target && (deadline == 0 || deadline > NOW));
            ASSERT_EQ(publishable_until(KEY_RETIRING, roles[role], KEY_STEP_ACTIVATE, deadline),
                      target);
            ASSERT_EQ(publishable(KEY_REVOKED, roles[role], deadline), false);
            ASSERT_EQ(publishable(KEY_BROKEN, roles[role], deadline), false);
        }
    }
}

static bool shadows(const char *subsysnqn, unsigned versions, const char *other_subsysnqn,
                    KeyRole other_role, unsigned other_versions)
{
    const Key k = {.hostnqn = (char *)(uintptr_t)HOST,
                   .subsysnqn = (char *)(uintptr_t)subsysnqn,
                   .role = KEY_ROLE_HOST,
                   .versions = versions};
    const Key other = {.hostnqn = (char *)(uintptr_t)HOST,
                       .subsysnqn = (char *)(uintptr_t)other_subsysnqn,
                       .role = other_role,
                       .versions = other_versions};

    return key_shadows(&k, &other);
}

TEST(shadow)
{
    const Key elsewhere = {.hostnqn = (char *)(uintptr_t) "nqn.other",
                           .subsysnqn = (char *)(uintptr_t) "nqn.x:ab",
                           .role = KEY_ROLE_HOST,
                           .versions = 3};
    const Key short_one = {.hostnqn = (char *)(uintptr_t)HOST,
                           .subsysnqn = (char *)(uintptr_t) "nqn.x:a",
                           .role = KEY_ROLE_HOST,
                           .versions = 3};

    ASSERT_TRUE(shadows("nqn.x:ab", 2, "nqn.x:a", KEY_ROLE_HOST, 2));
    ASSERT_TRUE(shadows("nqn.x:ab", 2, "nqn.x:a", KEY_ROLE_BOTH, 2));
    /* A search for the longer name cannot find the shorter one. */
    ASSERT_TRUE(!shadows("nqn.x:a", 3, "nqn.x:ab", KEY_ROLE_HOST, 3));
    ASSERT_TRUE(!shadows("nqn.x:a", 3, "nqn.x:a", KEY_ROLE_HOST, 3));
    ASSERT_TRUE(!shadows("nqn.x:b", 3, "nqn.x:a", KEY_ROLE_HOST, 3));
    /* A target searches for whole identities, and one of version 0 ends with the subsystem NQN. */
    ASSERT_TRUE(shadows("nqn.x:ab", 1, "nqn.x:a", KEY_ROLE_TARGET, 1));
    ASSERT_TRUE(shadows("nqn.x:ab", 3, "nqn.x:a", KEY_ROLE_TARGET, 3));
    ASSERT_TRUE(!shadows("nqn.x:ab", 2, "nqn.x:a", KEY_ROLE_TARGET, 3));
    ASSERT_TRUE(!shadows("nqn.x:ab", 3, "nqn.x:a", KEY_ROLE_TARGET, 2));
    ASSERT_TRUE(!key_shadows(&elsewhere, &short_one));
}

static bool outranks(unsigned versions, PskHash hash, unsigned other_versions, PskHash other_hash)
{
    const Key k = {.hostnqn = (char *)(uintptr_t)HOST,
                   .subsysnqn = (char *)(uintptr_t) "nqn.x:ab",
                   .role = KEY_ROLE_TARGET,
                   .hash = hash,
                   .versions = versions};
    const Key other = {.hostnqn = (char *)(uintptr_t)HOST,
                       .subsysnqn = (char *)(uintptr_t) "nqn.x:a",
                       .role = KEY_ROLE_HOST,
                       .hash = other_hash,
                       .versions = other_versions};

    return key_shadows(&k, &other);
}

/* The search of a host ends at the greatest version, then at the greatest hash; names come last. */
TEST(shadow_by_rank)
{
    const PskHash none = PSK_HASH_NONE, low = PSK_HASH_SHA256, high = PSK_HASH_SHA384;

    ASSERT_TRUE(outranks(2, low, 2, low) && outranks(2, high, 2, high));
    ASSERT_TRUE(outranks(2, high, 2, low) && !outranks(2, low, 2, high));
    ASSERT_TRUE(outranks(2, low, 1, high) && !outranks(1, high, 2, low));
    ASSERT_TRUE(outranks(1, high, 1, low) && !outranks(1, low, 1, high));
    /* A key of both versions is found by the newer one. */
    ASSERT_TRUE(!outranks(1, low, 3, low) && outranks(3, low, 2, low));
    /* Until the PSK is known, it may have either hash. */
    ASSERT_TRUE(outranks(2, none, 2, high) && outranks(2, low, 2, none));
    ASSERT_TRUE(!outranks(1, none, 2, none) && outranks(2, none, 1, none));
}

/* True if the payload has the TLS PSK of psk_derive() for each version, under its own tag. */
static bool payload_is_right(const Key *k, const Secret *payload)
{
    _cleanup_(secret_freep) Secret *configured = configured_of(k->hash);
    const PskSource source = {configured, k->hash, k->derivation, k->hostnqn, k->subsysnqn};
    const uint8_t *bytes;
    size_t size;

    if (key_payload_configured(payload, &bytes, &size) < 0 || size != configured->size ||
        memcmp(bytes, configured->data, size) != 0)
        return false;
    for (unsigned v = 0; v < KEY_VERSIONS; v++) {
        _cleanup_(tls_psk_done) TlsPsk tls = {.key = NULL};
        int r = key_payload_tls_psk(payload, v, &bytes, &size);

        if (!(k->versions & KEY_VERSION_BIT(v))) {
            if (r != -ENOENT || k->identities[v])
                return false;
            continue;
        }
        if (r != 0 || psk_derive(&source, v, &tls) != 0 || size != tls.key->size ||
            memcmp(bytes, tls.key->data, size) != 0 || !same_text(k->identities[v], tls.identity))
            return false;
    }
    return true;
}

TEST(derive)
{
    for (size_t hash = 0; hash < ARRAY_SIZE(hashes); hash++)
        for (unsigned versions = 1; versions < 1u << KEY_VERSIONS; versions++) {
            _cleanup_(secret_freep) Secret *payload = NULL;
            _cleanup_(key_freep) Key *k =
                new_key(SUBSYSTEM, KEY_ROLE_HOST, versions, hashes[hash], &payload);

            ASSERT_TRUE(k);
            ASSERT_TRUE(payload_is_right(k, payload));
        }
}

/* An identity of version 0 has 255 characters at most; a longer one is an error, and nothing is
 * made. */
TEST(derive_too_long)
{
    _cleanup_(secret_freep) Secret *configured = configured_of(PSK_HASH_SHA256), *payload = NULL;
    _cleanup_(key_freep) Key *k = calloc(1, sizeof(*k));
    char nqn[NQN_LENGTH_MAX + 1];

    ASSERT_TRUE(k && configured);
    memset(nqn, 'x', sizeof(nqn) - 1);
    memcpy(nqn, "nqn.", 4);
    nqn[sizeof(nqn) - 1] = '\0';
    k->hostnqn = strdup(nqn);
    k->subsysnqn = strdup(nqn);
    k->hash = PSK_HASH_SHA256;
    k->versions = KEY_VERSION_BIT(0);
    ASSERT_EQ(key_derive(k, configured, &payload), PSK_E_IDENTITY_LENGTH);
    ASSERT_TRUE(!payload);
}

static bool finds_nothing(const Secret *payload, int error)
{
    static const uint8_t untouched[1];
    const uint8_t *bytes = untouched;
    size_t size = 4711;

    return key_payload_tls_psk(payload, 1, &bytes, &size) == error && bytes == untouched &&
           size == 4711;
}

/* A payload that is cut at any place is noticed, and no result points outside. */
TEST(payload_truncated)
{
    _cleanup_(secret_freep) Secret *payload = NULL;
    _cleanup_(key_freep) Key *k = new_key(SUBSYSTEM, KEY_ROLE_BOTH, 3, PSK_HASH_SHA384, &payload);

    ASSERT_TRUE(k);
    for (size_t n = 0; n < payload->size; n++) {
        _cleanup_(secret_freep) Secret *part = secret_new_copy(payload->data, n);

        ASSERT_TRUE(part);
        /* Three items of 50 bytes; the last one is searched. */
        ASSERT_TRUE(finds_nothing(part, n % 50 == 0 ? -ENOENT : -EBADMSG));
    }
}

TEST(payload_garbage)
{
    static const uint8_t empty[] = {'1', 0}, wrong[2 + 31] = {'1', 31}, huge[] = {'1', 255, 0},
                         odd[] = {'1'};
    _cleanup_(secret_freep) Secret *a = secret_new_copy(empty, sizeof(empty)),
                                   *b = secret_new_copy(wrong, sizeof(wrong)),
                                   *c = secret_new_copy(huge, sizeof(huge)),
                                   *d = secret_new_copy(odd, sizeof(odd)),
                                   *zeros = secret_new(4096), *none = secret_new(0);

    ASSERT_TRUE(a && b && c && d && zeros && none);
    ASSERT_TRUE(finds_nothing(a, -EBADMSG));
    ASSERT_TRUE(finds_nothing(b, -EBADMSG));
    ASSERT_TRUE(finds_nothing(c, -EBADMSG));
    ASSERT_TRUE(finds_nothing(d, -EBADMSG));
    ASSERT_TRUE(finds_nothing(zeros, -ENOENT));
    ASSERT_TRUE(finds_nothing(none, -ENOENT));
}

TEST(names)
{
    KeyRole role = KEY_ROLE_BOTH;

    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        ASSERT_OK(key_role_from_string(key_role_to_string(roles[i]), &role));
        ASSERT_EQ(role, roles[i]);
    }
    ASSERT_EQ(key_role_from_string("", &role), -EINVAL);
    ASSERT_EQ(key_role_from_string("Host", &role), -EINVAL);
    ASSERT_EQ(role, KEY_ROLE_BOTH);
    ASSERT_STR(key_state_to_string(KEY_PENDING), "pending");
    ASSERT_STR(key_state_to_string(KEY_ACTIVE), "active");
    ASSERT_STR(key_state_to_string(KEY_RETIRING), "retiring");
    ASSERT_STR(key_state_to_string(KEY_REVOKED), "revoked");
    ASSERT_STR(key_state_to_string(KEY_BROKEN), "broken");
}

/* The JSON of a key has its names and its place, and not its PSK. */
TEST(json)
{
    _cleanup_(json_putp) json_object *o = NULL;
    _cleanup_(key_freep) Key *k = new_key(SUBSYSTEM, KEY_ROLE_TARGET, 3, PSK_HASH_SHA256, NULL);
    json_object *identities;
    const char *s;
    uint64_t n;

    ASSERT_TRUE(k);
    k->serials[1] = 42;
    ASSERT_OK(key_to_json(k, &o));
    ASSERT_EQ(json_get_string(o, "role", &s), 1);
    ASSERT_STR(s, "target");
    ASSERT_EQ(json_get_string(o, "fingerprint", &s), 1);
    ASSERT_EQ(strlen(s), 12);
    ASSERT_EQ(strncmp(s, k->digest, 12), 0);
    ASSERT_EQ(json_get_array(o, "identities", &identities), 1);
    ASSERT_EQ(json_object_array_length(identities), 2);
    ASSERT_EQ(json_get_uint(json_object_array_get_idx(identities, 0), "serial", 99, &n), 0);
    ASSERT_EQ(json_get_uint(json_object_array_get_idx(identities, 1), "serial", 99, &n), 1);
    ASSERT_EQ(n, 42);
    ASSERT_EQ(json_get_uint(o, "deadline", INT64_MAX, &n), 0);
    ASSERT_EQ(json_get_string(o, "comment", &s), 0);
}

/* A broken key has its id and the reason. */
TEST(json_broken)
{
    static const struct {
        int error;
        uint64_t generation;
        const char *text;
    } cases[] = {
        {-ENOENT, 1, "the record is missing"},
        {-ESTALE, 1, "older than the index says"},
        {-EIO, 1, "the disk cannot read it"},
        {-EBADMSG, 1, "authentication failed"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Key k = {.id = "0123456789abcdef",
                       .generation = cases[i].generation,
                       .state = KEY_BROKEN,
                       .error = cases[i].error};
        _cleanup_(json_putp) json_object *o = NULL;
        const char *s;

        ASSERT_OK(key_to_json(&k, &o));
        ASSERT_EQ(json_object_object_length(o), 4);
        ASSERT_EQ(json_get_string(o, "id", &s), 1);
        ASSERT_STR(s, "0123456789abcdef");
        ASSERT_EQ(json_get_string(o, "error", &s), 1);
        ASSERT_STR(s, cases[i].text);
    }
}
