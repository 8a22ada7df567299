/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/rule.h"
#include "test.h"

static const RequestKey request = {"create", "psk", "NVMe0R01 a b", ""};

static RuleResult match(const char *line, RuleMatch *ret)
{
    return rule_match(line, strlen(line), &request, ret);
}

TEST(lines)
{
    static const struct {
        const char *line;
        RuleResult result;
    } cases[] = {
        {"create psk NVMe* * /bin/x %k", RULE_MATCHES},
        {"create\tpsk\tNVMe0R01*b\t*\t/bin/x", RULE_MATCHES},
        {"* * * * /bin/x", RULE_MATCHES},
        {"create psk NVMe* x /bin/x", RULE_NONE},
        {"create user * * /bin/x", RULE_NONE},
        {"create psk NVMe0R01*x * /bin/x", RULE_NONE},
        {"# create psk * * /bin/x", RULE_NONE},
        {" create", RULE_NONE},
        {"", RULE_NONE},
        {"create psk * *", RULE_INVALID},
        {"nonsense", RULE_INVALID},
    };
    RuleMatch m;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        ASSERT_EQ(match(cases[i].line, &m), cases[i].result);
    ASSERT_EQ(match("create psk NVMe* * /bin/x %k", &m), RULE_MATCHES);
    ASSERT_STR(m.program, "/bin/x");
}

/* The leftmost field decides, and of equal ones the first that is read. */
TEST(the_narrower_rule_wins)
{
    RuleMatch narrow, wide, left;

    ASSERT_EQ(match("create psk NVMe0* * /bin/x", &narrow), RULE_MATCHES);
    ASSERT_EQ(match("create psk NVMe* * /bin/x", &wide), RULE_MATCHES);
    ASSERT_EQ(match("create * NVMe0R01* * /bin/x", &left), RULE_MATCHES);
    ASSERT_TRUE(rule_is_better(&narrow, &wide));
    ASSERT_TRUE(!rule_is_better(&wide, &narrow));
    ASSERT_TRUE(rule_is_better(&wide, &left));
    ASSERT_TRUE(!rule_is_better(&wide, &wide));
}
