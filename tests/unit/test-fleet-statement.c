/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "fleet/statement.h"
#include "test.h"

#define PRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static FleetPair make_pair(void)
{
    return (FleetPair){.hostnqn = "nqn.2026-11.org.example:h",
                       .subsysnqn = "nqn.2026-11.org.example:s",
                       .host = PRINT,
                       .target = PRINT,
                       .hash = PSK_HASH_SHA384,
                       .versions = 3,
                       .derivation = PSK_COMPAT,
                       .lifetime_usec = 5 * USEC_PER_SEC,
                       .generation = 1796000000000000,
                       .ended = true,
                       .envelope = PRINT};
}

TEST(pair)
{
    _cleanup_(freep) char *text = NULL;
    FleetPair p = make_pair(), again;
    char id[FLEET_ID_SIZE];

    ASSERT_OK(fleet_pair_format(&p, &text));
    ASSERT_OK(fleet_pair_parse(text, strlen(text), &again));
    ASSERT_OK(fleet_pair_id(p.hostnqn, p.subsysnqn, id));
    ASSERT_STR(again.id, id);
    ASSERT_STR(again.hostnqn, p.hostnqn);
    ASSERT_STR(again.subsysnqn, p.subsysnqn);
    ASSERT_STR(again.host, PRINT);
    ASSERT_EQ(again.hash, PSK_HASH_SHA384);
    ASSERT_EQ(again.versions, 3);
    ASSERT_EQ(again.derivation, PSK_COMPAT);
    ASSERT_EQ(again.lifetime_usec, p.lifetime_usec);
    ASSERT_EQ(again.generation, p.generation);
    ASSERT_TRUE(again.ended);
    ASSERT_STR(again.envelope, PRINT);
}

/* "printf '%s' 'nqn.2026-11.org.example:h nqn.2026-11.org.example:s' | sha256sum" */
TEST(id)
{
    char id[FLEET_ID_SIZE];

    ASSERT_OK(fleet_pair_id("nqn.2026-11.org.example:h", "nqn.2026-11.org.example:s", id));
    ASSERT_STR(id, "5955739ec2e8f36d532a9cda02d067fb");
}

TEST(envelope_may_be_missing)
{
    _cleanup_(freep) char *text = NULL;
    FleetPair p = make_pair(), again;

    p.envelope[0] = '\0';
    ASSERT_OK(fleet_pair_format(&p, &text));
    ASSERT_OK(fleet_pair_parse(text, strlen(text), &again));
    ASSERT_STR(again.envelope, "");
}

/* Each member counts. */
TEST(pair_without_a_member)
{
    static const char *const members[] = {
        "format",           "version",  "hostNQN", "subsystemNQN", "host",       "target",  "hash",
        "identityVersions", "lifetime", "ended",   "generation",   "derivation", "envelope"};
    _cleanup_(freep) char *text = NULL;
    FleetPair p = make_pair();

    ASSERT_OK(fleet_pair_format(&p, &text));
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        _cleanup_(freep) char *without = strdup(text), *quoted = NULL;
        char *place;

        ASSERT_TRUE(without && asprintf(&quoted, "\"%s\":", members[i]) > 0);
        place = strstr(without, quoted);
        ASSERT_TRUE(place);
        place[1] = 'X';
        ASSERT_EQ(fleet_pair_parse(without, strlen(without), &p), -EBADMSG);
    }
}

TEST(approval)
{
    _cleanup_(freep) char *text = NULL;
    FleetApproval a = {.fingerprint = PRINT, .name = "a machine", .time_usec = 7};
    _cleanup_(fleet_approval_done) FleetApproval again = {.certificate = NULL};
    FleetRevocation r;
    FleetPair p;

    a.certificate = (char[]){"PEM"};
    ASSERT_OK(fleet_approval_format(&a, &text));
    ASSERT_OK(fleet_approval_parse(text, strlen(text), &again));
    ASSERT_STR(again.fingerprint, PRINT);
    ASSERT_STR(again.name, "a machine");
    ASSERT_STR(again.certificate, "PEM");
    ASSERT_EQ(again.time_usec, 7);
    /* One kind is not another. */
    ASSERT_EQ(fleet_revocation_parse(text, strlen(text), &r), -EBADMSG);
    ASSERT_EQ(fleet_pair_parse(text, strlen(text), &p), -EBADMSG);
}

TEST(revocation_and_rotation)
{
    _cleanup_(freep) char *text = NULL, *other = NULL;
    FleetRevocation r = {.fingerprint = PRINT, .time_usec = 9}, r_again;
    FleetRotation o = {.started_usec = 11}, o_again;

    ASSERT_OK(fleet_revocation_format(&r, &text));
    ASSERT_OK(fleet_revocation_parse(text, strlen(text), &r_again));
    ASSERT_STR(r_again.fingerprint, PRINT);
    ASSERT_EQ(r_again.time_usec, 9);
    ASSERT_OK(fleet_rotation_format(&o, &other));
    ASSERT_OK(fleet_rotation_parse(other, strlen(other), &o_again));
    ASSERT_EQ(o_again.started_usec, 11);
    ASSERT_EQ(fleet_rotation_parse(text, strlen(text), &o_again), -EBADMSG);
}
