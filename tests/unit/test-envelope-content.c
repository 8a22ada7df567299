/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "envelope/content.h"
#include "envelope/limits.h"
#include "test.h"

#define FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HOST "nqn.2026-11.org.example:host"
#define SUBSYSTEM "nqn.2026-11.org.example:disk"
#define PSK "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"

#define HEAD                                                                                       \
    "{\"format\":\"nvme-keyd "                                                                     \
    "envelope\",\"version\":1,\"id\":\"0123456789abcdef0123456789abcdef\","                        \
    "\"issued\":5,\"keys\":["
#define ENTRY                                                                                      \
    "{\"hostNQN\":\"" HOST "\",\"subsystemNQN\":\"" SUBSYSTEM "\",\"host\":\"" FINGERPRINT         \
    "\",\"generation\":3"
#define KEY ",\"identityVersions\":[1],\"derivation\":\"rfc8446\",\"psk\":\"" PSK "\"}"

static int parse(const char *text, char **reterr_detail)
{
    _cleanup_(envelope_content_done) EnvelopeContent c = {.n = 0};

    return envelope_content_parse(text, strlen(text), &c, reterr_detail);
}

static bool refused(const char *text, const char *why)
{
    _cleanup_(freep) char *detail = NULL;
    int r = parse(text, &detail);
    bool good = r == -EBADMSG && detail && strstr(detail, why) && !strstr(detail, "VRLbtnN9");

    if (!good)
        printf("# %d: %s\n", r, detail ? detail : "(none)");
    return good;
}

TEST(round_trip)
{
    EnvelopeEntry entries[2] = {
        {.hostnqn = HOST,
         .subsysnqn = SUBSYSTEM,
         .host = FINGERPRINT,
         .generation = 7,
         .expires_usec = 9,
         .not_before_usec = 8,
         .versions = 3,
         .derivation = PSK_COMPAT,
         .hash = PSK_HASH_SHA256},
        {.hostnqn = HOST, .subsysnqn = SUBSYSTEM "2", .target = FINGERPRINT, .generation = 1},
    };
    EnvelopeContent c = {"00112233445566778899aabbccddeeff", 5, entries, 2};
    _cleanup_(envelope_content_done) EnvelopeContent got = {.n = 0};
    _cleanup_(secret_freep) Secret *text = NULL, *psk = NULL;
    _cleanup_(freep) char *detail = NULL;

    ASSERT_OK(psk_generate(PSK_HASH_SHA256, &psk));
    entries[0].configured = psk;
    ASSERT_OK(envelope_content_format(&c, &text));
    ASSERT_OK(envelope_content_parse((const char *)text->data, text->size, &got, &detail));
    ASSERT_EQ(got.n, 2);
    ASSERT_STR(got.id, c.id);
    ASSERT_EQ(got.issued_usec, 5);
    ASSERT_STR(got.entries[0].hostnqn, HOST);
    ASSERT_STR(got.entries[0].host, FINGERPRINT);
    ASSERT_STR(got.entries[0].target, "");
    ASSERT_EQ(got.entries[0].generation, 7);
    ASSERT_EQ(got.entries[0].not_before_usec, 8);
    ASSERT_EQ(got.entries[0].expires_usec, 9);
    ASSERT_EQ(got.entries[0].versions, 3);
    ASSERT_EQ(got.entries[0].derivation, PSK_COMPAT);
    ASSERT_TRUE(secret_equal(got.entries[0].configured, psk));
    ASSERT_TRUE(!got.entries[1].configured);
    ASSERT_STR(got.entries[1].target, FINGERPRINT);
}

TEST(accepted)
{
    _cleanup_(freep) char *detail = NULL;

    ASSERT_OK(parse(HEAD ENTRY KEY "]}", &detail));
    ASSERT_OK(parse(HEAD ENTRY ",\"tombstone\":true}]}", &detail));
    /* A later version may add members. */
    ASSERT_OK(parse(HEAD ENTRY ",\"more\":1" KEY "],\"more\":{}}", &detail));
}

TEST(refused_with_a_reason)
{
    ASSERT_TRUE(refused("", "not that of an envelope"));
    ASSERT_TRUE(refused("{}", "not that of an envelope"));
    ASSERT_TRUE(refused("{\"format\":\"nvme-keyd envelope\",\"version\":2}", "version 2"));
    ASSERT_TRUE(
        refused("{\"format\":\"nvme-keyd envelope\",\"version\":1}", "\"id\" or \"issued\""));
    ASSERT_TRUE(refused(HEAD "]}", "1 to 64 keys, and this one 0"));
    ASSERT_TRUE(refused(HEAD "7]}", "key 1 of the envelope: it is no object"));
    ASSERT_TRUE(refused(HEAD ENTRY "}]}", "neither \"psk\" nor \"tombstone\""));
    ASSERT_TRUE(refused(HEAD ENTRY KEY "," ENTRY "}]}", "key 2 of the envelope"));
    ASSERT_TRUE(refused(HEAD ENTRY ",\"psk\":\"NVMeTLSkey-1:01:VRLbtnN9:\"}]}", "not a PSK"));
    ASSERT_TRUE(refused(HEAD ENTRY ",\"psk\":\"" PSK "\"}]}", "\"derivation\" is missing"));
    ASSERT_TRUE(refused(HEAD ENTRY ",\"derivation\":\"rfc8446\",\"psk\":\"" PSK "\"}]}",
                        "\"identityVersions\" is missing"));
    ASSERT_TRUE(refused(
        HEAD ENTRY ",\"identityVersions\":[2],\"derivation\":\"rfc8446\",\"psk\":\"" PSK "\"}]}",
        "\"identityVersions\" is missing or unknown"));
    ASSERT_TRUE(refused(HEAD "{\"hostNQN\":\"x\",\"subsystemNQN\":\"" SUBSYSTEM "\"}]}",
                        "key 1 of the envelope: "));
    ASSERT_TRUE(refused(HEAD "{\"hostNQN\":\"" HOST "\",\"subsystemNQN\":\"" SUBSYSTEM
                             "\",\"generation\":1}]}",
                        "\"host\" or \"target\" is no fingerprint"));
    ASSERT_TRUE(refused(HEAD "{\"hostNQN\":\"" HOST "\",\"subsystemNQN\":\"" SUBSYSTEM
                             "\",\"host\":\"" FINGERPRINT "\",\"generation\":0}]}",
                        "\"generation\" is missing"));
}

TEST(limits)
{
    static char text[ENVELOPE_CONTENT_MAX + 2];

    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, HEAD ENTRY KEY "]}", strlen(HEAD ENTRY KEY "]}"));
    ASSERT_TRUE(refused(text, "not that of an envelope"));
    text[ENVELOPE_CONTENT_MAX] = '\0';
    ASSERT_OK(parse(text, NULL));
}
