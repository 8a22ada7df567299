/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "fleet/report.h"
#include "test.h"

#define HEAD "{\"format\":\"nvme-keyd status\",\"version\":1,\"pairs\":["
#define NQNS                                                                                       \
    "\"hostNQN\":\"nqn.2026-11.org.example:h\",\"subsystemNQN\":\"nqn.2026-11.org.example:s\","

static int parse(const char *text, FleetReport **ret, size_t *ret_n)
{
    return fleet_reports_parse(text, strlen(text), ret, ret_n);
}

TEST(reports)
{
    _cleanup_(freep) FleetReport *reports = NULL;
    char id[FLEET_ID_SIZE];
    size_t n;

    ASSERT_OK(parse(HEAD "{" NQNS "\"generation\":7,\"state\":\"pending\"},"
                         "{" NQNS "\"generation\":8,\"state\":\"failed\",\"reason\":\"no room\"}]}",
                    &reports, &n));
    ASSERT_EQ(n, 2);
    ASSERT_OK(fleet_pair_id("nqn.2026-11.org.example:h", "nqn.2026-11.org.example:s", id));
    ASSERT_STR(reports[0].id, id);
    ASSERT_EQ(reports[0].state, PLAN_PENDING);
    ASSERT_STR(reports[0].reason, "");
    ASSERT_EQ(reports[1].generation, 8);
    ASSERT_EQ(reports[1].state, PLAN_REFUSED);
    ASSERT_STR(reports[1].reason, "no room");
}

TEST(none)
{
    _cleanup_(freep) FleetReport *reports = NULL;
    size_t n;

    ASSERT_OK(parse(HEAD "]}", &reports, &n));
    ASSERT_EQ(n, 0);
    free(TAKE_PTR(reports));
    ASSERT_OK(parse("{\"format\":\"nvme-keyd status\",\"version\":1}", &reports, &n));
    ASSERT_EQ(n, 0);
}

TEST(refused)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{\"format\":\"nvme-keyd pair\",\"version\":1,\"pairs\":[]}",
        "{\"format\":\"nvme-keyd status\",\"version\":2,\"pairs\":[]}",
        "{\"format\":\"nvme-keyd status\",\"version\":1,\"pairs\":{}}",
        HEAD "5]}",
        HEAD "{" NQNS "\"state\":\"active\"}]}",
        HEAD "{" NQNS "\"generation\":-1,\"state\":\"active\"}]}",
        HEAD "{" NQNS "\"generation\":7,\"state\":\"happy\"}]}",
        HEAD "{\"hostNQN\":\"x\",\"subsystemNQN\":\"y\",\"generation\":7,\"state\":\"active\"}]}",
    };
    FleetReport *reports = NULL;
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        ASSERT_EQ(parse(texts[i], &reports, &n), -EBADMSG);
    ASSERT_TRUE(!reports);
}

/* A terminal must not take orders of a machine. */
TEST(reason_is_printable)
{
    _cleanup_(freep) FleetReport *reports = NULL;
    size_t n;

    ASSERT_OK(parse(HEAD "{" NQNS
                         "\"generation\":7,\"state\":\"failed\",\"reason\":\"\\u001b[2J\"}]}",
                    &reports, &n));
    ASSERT_STR(reports[0].reason, "");
}
