/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/encoding.h"
#include "nvme-keyd/keys/key.h"
#include "test.h"

#define HOST "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
#define OTHER "0123456789abcdef"
#define DIGEST_32 "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o="
#define DIGEST_48 "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09rh6O/2/QQLEhkgJy41PENK"

/* The form in docs/CREDSTORE.md, with all members. */
#define ALL                                                                                        \
    "{\"kind\":\"configured\",\"hostNQN\":\"" HOST "\",\"subsystemNQN\":\"nqn.a:b\","              \
    "\"role\":\"target\",\"state\":\"retiring\",\"hash\":\"sha256\",\"derivation\":\"rfc8446\","   \
    "\"identityVersions\":[0,1],\"created\":1,\"changed\":0,\"digest\":\"" DIGEST_32 "\","         \
    "\"deadline\":9223372036854775807,\"step\":\"revoke\",\"planned\":5,"                          \
    "\"unsynchronized\":true,\"succeeds\":\"" OTHER                                                \
    "\",\"confirmed\":6,\"follow\":true,\"expires\":7,\"rotateAfter\":8,\"comment\":\"a "          \
    "\\\"b\\\\c\\\" \xc3\xbc/\\n\\u001f\x7f\"}"

static bool is_accepted(const char *text, size_t size)
{
    _cleanup_(key_freep) Key *k = NULL;
    int r = key_from_meta(text, size, &k);

    /* Any other error counts as accepted text, so the test fails. */
    return r != -EBADMSG || k;
}

/* A key has one text only, so an accepted text is written again unchanged. */
static bool is_canonical(const char *text, size_t size)
{
    _cleanup_(freep) char *again = NULL;
    _cleanup_(key_freep) Key *k = NULL;

    if (key_from_meta(text, size, &k) < 0)
        return false;
    again = key_to_meta(k);
    return again && strlen(again) == size && memcmp(again, text, size) == 0;
}

TEST(one_text)
{
    _cleanup_(key_freep) Key *k = NULL;

    ASSERT_TRUE(is_canonical(ALL, strlen(ALL)));
    ASSERT_OK(key_from_meta(ALL, strlen(ALL), &k));
    ASSERT_STR(k->hostnqn, HOST);
    ASSERT_STR(k->subsysnqn, "nqn.a:b");
    ASSERT_STR(k->comment, "a \"b\\c\" \xc3\xbc/\n\x1f\x7f");
    ASSERT_STR(k->digest, DIGEST_32);
    ASSERT_TRUE(k->kind == KEY_CONFIGURED && k->role == KEY_ROLE_TARGET &&
                k->state == KEY_RETIRING && k->hash == PSK_HASH_SHA256 &&
                k->derivation == PSK_RFC8446 && k->versions == 3);
    ASSERT_TRUE(k->created_usec == 1 && k->changed_usec == 0 && k->deadline_usec == INT64_MAX);
    ASSERT_TRUE(k->step == KEY_STEP_REVOKE && k->planned_usec == 5 && k->unsynchronized &&
                k->confirmed_usec == 6 && k->follow && k->expires_usec == 7 && k->rotate_usec == 8);
    ASSERT_STR(k->succeeds, OTHER);
    ASSERT_STR(k->identities[0], "NVMe0R01 " HOST " nqn.a:b");
    ASSERT_STR(k->identities[1], "NVMe1R01 " HOST " nqn.a:b " DIGEST_32);
}

/* Numbers that look random and are the same in each run. */
static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static char *random_nqn(uint32_t *seed)
{
    size_t n = 5 + next(seed) % (NQN_LENGTH_MAX - 4);
    char *s = calloc(1, n + 1);

    for (size_t i = 0; s && i < n; i++)
        do
            s[i] = (char)(i < 4 ? "nqn."[i] : '!' + (int)(next(seed) % ('~' - '!' + 1)));
        while (s[i] == ';');
    return s;
}

static char *random_comment(uint32_t *seed)
{
    static const char *const other[] = {"\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x94\x91"};
    size_t n = next(seed) % 300;
    char *s = calloc(1, 4 * n + 1), *p = s;

    for (size_t i = 0; s && i < n; i++)
        if (next(seed) % 4 == 0)
            p = stpcpy(p, other[next(seed) % ARRAY_SIZE(other)]);
        else
            *p++ = (char)(1 + next(seed) % 127);
    return s;
}

static void random_life(Key *k, uint32_t *seed)
{
    k->step = (KeyStep)(next(seed) % (KEY_STEP_REMOVE + 1));
    k->deadline_usec = k->step != KEY_STEP_NONE ? INT64_MAX - next(seed) : 0;
    k->planned_usec = k->step == KEY_STEP_NONE ? 0 : next(seed) % 2 ? k->changed_usec : next(seed);
    k->unsynchronized = k->step != KEY_STEP_NONE && next(seed) % 2;
    if (next(seed) % 2)
        snprintf(k->succeeds, sizeof(k->succeeds), "%016x", next(seed));
    k->confirmed_usec = next(seed) % 2 ? next(seed) : 0;
    k->follow = next(seed) % 2;
    k->expires_usec = next(seed) % 2 ? next(seed) : 0;
    k->rotate_usec = next(seed) % 2 ? next(seed) : 0;
}

static Key *random_key(uint32_t *seed)
{
    static const KeyRole roles[] = {KEY_ROLE_HOST, KEY_ROLE_TARGET, KEY_ROLE_BOTH};
    Key *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->hostnqn = random_nqn(seed);
    k->subsysnqn = random_nqn(seed);
    k->comment = next(seed) % 2 ? random_comment(seed) : NULL;
    k->role = roles[next(seed) % ARRAY_SIZE(roles)];
    k->state = (KeyState)(next(seed) % KEY_BROKEN);
    k->kind = (KeyKind)(next(seed) % 2);
    k->hash = (PskHash)(next(seed) % (k->kind == KEY_DERIVED ? 2 : 3) + (k->kind == KEY_DERIVED));
    k->derivation = next(seed) % 2 ? PSK_COMPAT : PSK_RFC8446;
    k->versions = 1 + next(seed) % (k->kind == KEY_DERIVED ? 2 : 3);
    if (k->kind == KEY_CONFIGURED || k->versions == 2)
        strcpy(k->digest, k->kind == KEY_DERIVED
                              ? (k->hash == PSK_HASH_SHA384 ? DIGEST_48 : DIGEST_32)
                              : (next(seed) % 2 ? DIGEST_48 : DIGEST_32));
    k->created_usec = (uint64_t)next(seed) << (next(seed) % 40);
    k->changed_usec = next(seed);
    random_life(k, seed);
    return k;
}

static bool same_text(const char *a, const char *b)
{
    return !a || !b ? a == b : strcmp(a, b) == 0;
}

static bool same_life(const Key *a, const Key *b)
{
    return a->deadline_usec == b->deadline_usec && a->step == b->step &&
           a->planned_usec == b->planned_usec && a->unsynchronized == b->unsynchronized &&
           strcmp(a->succeeds, b->succeeds) == 0 && a->confirmed_usec == b->confirmed_usec &&
           a->follow == b->follow && a->expires_usec == b->expires_usec &&
           a->rotate_usec == b->rotate_usec;
}

static bool same_key(const Key *a, const Key *b)
{
    return strcmp(a->hostnqn, b->hostnqn) == 0 && strcmp(a->subsysnqn, b->subsysnqn) == 0 &&
           same_text(a->comment, b->comment) && a->role == b->role && a->state == b->state &&
           a->kind == b->kind && a->hash == b->hash && a->derivation == b->derivation &&
           a->versions == b->versions && strcmp(a->digest, b->digest) == 0 &&
           a->created_usec == b->created_usec && a->changed_usec == b->changed_usec &&
           same_life(a, b) && same_text(a->identities[0], b->identities[0]) &&
           same_text(a->identities[1], b->identities[1]);
}

TEST(random_keys_come_back)
{
    uint32_t seed = 1;

    for (int i = 0; i < 20000; i++) {
        _cleanup_(key_freep) Key *k = random_key(&seed), *copy = NULL;
        _cleanup_(freep) char *text = NULL;

        ASSERT_TRUE(k && k->hostnqn && k->subsysnqn);
        ASSERT_OK(key_set_identities(k));
        text = key_to_meta(k);
        ASSERT_TRUE(text && is_canonical(text, strlen(text)));
        ASSERT_OK(key_from_meta(text, strlen(text), &copy));
        if (!same_key(k, copy))
            TEST_FAIL("key %d: %s", i, text);
    }
}

/* Each byte is replaced by each other value, left out, and repeated. */
TEST(each_byte)
{
    char text[sizeof(ALL) + 1];
    size_t size = strlen(ALL);

    for (size_t i = 0; i < size; i++) {
        memcpy(text, ALL, sizeof(ALL));
        for (int c = 0; c < 256; c++) {
            text[i] = (char)c;
            if (is_accepted(text, size) && !is_canonical(text, size))
                TEST_FAIL("byte %zu is %d", i, c);
        }
        memcpy(text + i, &ALL[i + 1], size - i);
        if (is_accepted(text, size - 1) && !is_canonical(text, size - 1))
            TEST_FAIL("without byte %zu", i);
        memcpy(text, ALL, i + 1);
        memcpy(text + i + 1, &ALL[i], size - i);
        if (is_accepted(text, size + 1) && !is_canonical(text, size + 1))
            TEST_FAIL("byte %zu twice", i);
    }
}

/* Each length gets a copy of its own, so that valgrind and sanitizers detect a read past its
 * end. */
TEST(each_length)
{
    for (size_t size = 0; size < strlen(ALL); size++) {
        _cleanup_(freep) char *text = malloc(size + 1);

        ASSERT_TRUE(text);
        text = realloc(text, size > 0 ? size : 1);
        memcpy(text, ALL, size);
        ASSERT_TRUE(!is_accepted(text, size));
    }
    ASSERT_TRUE(!is_accepted(ALL, sizeof(ALL)));
    ASSERT_TRUE(!is_accepted(ALL "}", sizeof(ALL)));
}

/* True if ALL is accepted with this part, which occurs once, replaced. */
static bool accepts(const char *part, const char *by)
{
    const char *at = strstr(ALL, part);
    char text[2 * sizeof(ALL)];

    if (!at || strstr(at + 1, part))
        return true;
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - ALL), ALL, by, at + strlen(part));
    return is_accepted(text, strlen(text));
}

static const struct {
    const char *part, *by;
} bad[] = {
    {"\"kind\":\"configured\",", ""},
    {"\"configured\"", "\"generated\""},
    {"\"configured\"", "\"\""},
    {"\"hostNQN\":\"" HOST "\",", ""},
    {"\"" HOST "\"", "7"},
    {"\"" HOST "\"", "\"\""},
    {"\"" HOST "\"", "\"nqn.a b\""},
    {"\"" HOST "\"", "\"nqn.a\\u0000\""},
    {"\"" HOST "\"", "\"nqn.a\\u0062\""},
    {"\"nqn.a:b\"", "[]"},
    {"\"nqn.a:b\"", "\"nqn.a;b\""},
    {"\"nqn.a:b\"", "\"nqn.a\\/b\""},
    {"\"role\":\"target\",", ""},
    {"\"target\"", "\"\""},
    {"\"target\"", "\"hosts\""},
    {"\"target\"", "3"},
    {"\"state\":\"retiring\",", ""},
    {"\"retiring\"", "\"broken\""},
    {"\"retiring\"", "\"overridden\""},
    {"\"hash\":\"sha256\",", ""},
    {"\"sha256\"", "\"sha512\""},
    {",\"derivation\":\"rfc8446\"", ""},
    {"\"rfc8446\"", "\"\""},
    {",\"digest\":\"" DIGEST_32 "\"", ""},
    {DIGEST_32, ""},
    {DIGEST_32, "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWw=="},
    {DIGEST_32, "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09p="},
    {DIGEST_32, "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM0 o="},
    {DIGEST_32, DIGEST_48 "AAAA"},
    {"\"identityVersions\":[0,1],", ""},
    {"[0,1]", "[]"},
    {"[0,1]", "[1,0]"},
    {"[0,1]", "[0,0]"},
    {"[0,1]", "[0, 1]"},
    {"[0,1]", "[2]"},
    {"[0,1]", "[-1]"},
    {"[0,1]", "[1.0]"},
    {"[0,1]", "[\"1\"]"},
    {"[0,1]", "1"},
    {"\"created\":1,", ""},
    {"\"created\":1,", "\"created\":-1,"},
    {"\"created\":1,", "\"created\":01,"},
    {"\"created\":1,", "\"created\":\"1\","},
    {"\"created\":1,", "\"created\":9223372036854775808,"},
    {"\"created\":1,", "\"created\":1,\"created\":1,"},
    {"\"changed\":0", "\"changed\":1.5"},
    {"\"changed\":0", "\"changed\":1e1"},
    {"9223372036854775807", "0"},
    {"9223372036854775807", "9223372036854775808"},
    {"9223372036854775807", "true"},
    {"\"deadline\":9223372036854775807,", ""},
    {",\"step\":\"revoke\"", ""},
    {"\"revoke\"", "\"rotate\""},
    {"\"revoke\"", "\"\""},
    {"\"planned\":5,", ""},
    {"\"planned\":5,", "\"planned\":-1,"},
    {"\"unsynchronized\":true", "\"unsynchronized\":false"},
    {"\"deadline\":9223372036854775807,\"step\":\"revoke\",\"planned\":5,", ""},
    {OTHER, ""},
    {OTHER, "0123456789abcde"},
    {OTHER, "0123456789abcdef0"},
    {OTHER, "0123456789abcdeF"},
    {"\"confirmed\":6", "\"confirmed\":0"},
    {"\"follow\":true", "\"follow\":false"},
    {"\"follow\":true", "\"follow\":1"},
    {"\"expires\":7", "\"expires\":0"},
    {"\"rotateAfter\":8", "\"rotateAfter\":0"},
    {"\"expires\":7", "\"expires\":7,\"expires\":7"},
    {"\\u001f", "\\u0000"},
    {"\\u001f", "\\u001F"},
    {"\\u001f", "\\u000a"},
    {"\\u001f", "\\u0020"},
    {"\\u001f", "\\/"},
    {"\\u001f", "\x1f"},
    {"\xc3\xbc", "\xc3"},
    {"\xc3\xbc", "\xed\xa0\x80"},
    {"\"}", "\",\"other\":1}"},
    {"{\"kind\"", "{ \"kind\""},
    {"{\"kind\"", "{\"other\":1,\"kind\""},
};

TEST(bad_values)
{
    ASSERT_TRUE(accepts("\"retiring\"", "\"pending\""));
    ASSERT_TRUE(accepts("\"deadline\":9223372036854775807,\"step\":\"revoke\",\"planned\":5,"
                        "\"unsynchronized\":true,",
                        ""));
    ASSERT_TRUE(accepts("\"unsynchronized\":true,", ""));
    ASSERT_TRUE(accepts("\"revoke\"", "\"remove\""));
    ASSERT_TRUE(accepts("\"planned\":5", "\"planned\":0"));
    ASSERT_TRUE(accepts(",\"succeeds\":\"" OTHER "\"", ""));
    ASSERT_TRUE(accepts("\"follow\":true,", ""));
    ASSERT_TRUE(accepts(DIGEST_32, DIGEST_48));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (accepts(bad[i].part, bad[i].by))
            TEST_FAIL("%s in the place of %s", bad[i].by, bad[i].part);
}

/* The step of a retiring key that was planned with its state is not written, so a record of an
 * older version is read as it was meant. */
TEST(usual_step)
{
#define STEP "\"step\":\"revoke\",\"planned\":5,"
    const char *after = strstr(ALL, STEP) + strlen(STEP);
    _cleanup_(key_freep) Key *k = NULL;
    char text[sizeof(ALL)];

    ASSERT_TRUE(!accepts(STEP, "\"step\":\"remove\",\"planned\":0,"));
    snprintf(text, sizeof(text), "%.*s%s", (int)(after - strlen(STEP) - ALL), ALL, after);
    ASSERT_TRUE(is_canonical(text, strlen(text)));
    ASSERT_OK(key_from_meta(text, strlen(text), &k));
    ASSERT_TRUE(k->step == KEY_STEP_REMOVE && k->planned_usec == k->changed_usec);
    memcpy(strstr(text, "\"retiring\""), "\"pending\",", strlen("\"retiring\""));
    ASSERT_TRUE(!is_accepted(text, strlen(text)));
}

/* A derived key has one identity, and a digest if that is of version 1. */
TEST(derived)
{
    static const struct {
        const char *hash, *versions, *digest;
        bool good;
    } cases[] = {
        {"sha256", "[1]", DIGEST_32, true},  {"sha384", "[1]", DIGEST_48, true},
        {"sha256", "[0]", NULL, true},       {"none", "[1]", DIGEST_32, false},
        {"none", "[0]", NULL, false},        {"sha384", "[1]", DIGEST_32, false},
        {"sha256", "[1]", DIGEST_48, false}, {"sha256", "[1]", NULL, false},
        {"sha256", "[0]", DIGEST_32, false}, {"sha256", "[0,1]", DIGEST_32, false},
        {"sha256", "[0,1]", NULL, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[1024];

        snprintf(text, sizeof(text),
                 "{\"kind\":\"derived\",\"hostNQN\":\"" HOST "\",\"subsystemNQN\":\"nqn.a:b\","
                 "\"role\":\"host\",\"state\":\"active\",\"hash\":\"%s\","
                 "\"derivation\":\"compat\",\"identityVersions\":%s,\"created\":1,\"changed\":1"
                 "%s%s%s}",
                 cases[i].hash, cases[i].versions, cases[i].digest ? ",\"digest\":\"" : "",
                 cases[i].digest ? cases[i].digest : "", cases[i].digest ? "\"" : "");
        if (is_accepted(text, strlen(text)) != cases[i].good ||
            is_canonical(text, strlen(text)) != cases[i].good)
            TEST_FAIL("%s", text);
    }
}
