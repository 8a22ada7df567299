/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "found-fixture.h"
#include "psk/limits.h"
#include "test.h"

#define KEY "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"

static Part part(const char *text)
{
    return (Part){text, text ? strlen(text) : 0};
}

/* Names and texts that are too long are faults and not cut. */
TEST(lengths)
{
    char name[1024] = "", found[FOUND_SIZE] = "";
    FoundKey k = {.line = 7, .key = part(KEY), .hostnqn = part(name)};

    memset(name, 'n', sizeof(name) - 1);
    name[NQN_LENGTH_MAX] = '\0';
    k.hostnqn = part(name);
    ASSERT_OK(found_report(&k, found_append, found));
    ASSERT_TRUE(strncmp(found, "psk 7 host=nnn", 14) == 0);
    name[NQN_LENGTH_MAX] = 'n';
    k.hostnqn = part(name);
    found[0] = '\0';
    ASSERT_OK(found_report(&k, found_append, found));
    ASSERT_STR(found, "fault 7 not an NQN: at most 223 \n");
    k.hostnqn = part(NULL);
    k.identity = part(name);
    found[0] = '\0';
    ASSERT_OK(found_report(&k, found_append, found));
    ASSERT_STR(found, "fault 7 not an identity: NVMe0Rh\n");
}

TEST(credential_names)
{
    static const char *const bad[] = {"", ".", "..", ".x", "a/b", "a b", "a\n", "\xc3\xbc"};
    char found[FOUND_SIZE] = "", name[FORMAT_CREDENTIAL_MAX + 2];
    FoundKey k = {.line = 1, .source = part("systemd-creds")};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        k.key = part(bad[i]);
        found[0] = '\0';
        ASSERT_OK(found_report(&k, found_append, found));
        ASSERT_STR(found, "fault 1 tls-key= is not the name\n");
    }
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    k.key = part(name);
    found[0] = '\0';
    ASSERT_OK(found_report(&k, found_append, found));
    ASSERT_STR(found, "fault 1 tls-key= is not the name\n");
    name[FORMAT_CREDENTIAL_MAX] = '\0';
    k.key = part(name);
    found[0] = '\0';
    ASSERT_OK(found_report(&k, found_append, found));
    ASSERT_TRUE(strncmp(found, "credential 1 ", 13) == 0);
}

static int stop(const Found *f, void *userdata)
{
    *(FoundKind *)userdata = f->kind;
    return 42;
}

/* The reader ends with the result of the function. */
TEST(result)
{
    FoundKey k = {.key = part(KEY)};
    FoundKind kind = FOUND_FAULT;

    ASSERT_EQ(found_report(&k, stop, &kind), 42);
    ASSERT_EQ(kind, FOUND_PSK);
    ASSERT_EQ(found_note(FOUND_OTHER, 1, "x", stop, &kind), 42);
    ASSERT_EQ(kind, FOUND_OTHER);
}
