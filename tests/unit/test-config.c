/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/limits.h"
#include "nvme-keyd/config/config.h"
#include "test.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

TEST(spans)
{
    static const struct {
        const char *text;
        uint64_t usec;
    } good[] = {
        {"0", 0},
        {"1", USEC_PER_SEC},
        {"007", 7 * USEC_PER_SEC},
        {"1us", 1},
        {"1usec", 1},
        {"1ms", 1000},
        {"1msec", 1000},
        {"1s", USEC_PER_SEC},
        {"1 sec", USEC_PER_SEC},
        {"1 second", USEC_PER_SEC},
        {"2  seconds", 2 * USEC_PER_SEC},
        {"1m", MINUTE},
        {"1min", MINUTE},
        {"1 minute", MINUTE},
        {"5minutes", 5 * MINUTE},
        {"1h", HOUR},
        {"1hr", HOUR},
        {"1hour", HOUR},
        {"2hours", 2 * HOUR},
        {"1d", DAY},
        {"1day", DAY},
        {"2days", 2 * DAY},
        {"1w", 7 * DAY},
        {"1week", 7 * DAY},
        {"2weeks", 14 * DAY},
        {"1h30min", HOUR + 30 * MINUTE},
        {"1h 30min 5", HOUR + 30 * MINUTE + 5 * USEC_PER_SEC},
        {"5s5", 10 * USEC_PER_SEC},
        {"1min ", MINUTE},
        {"infinity", UINT64_MAX},
        {"18446744073709551615us", UINT64_MAX},
        /* As good as infinite, and safe to add to a time. */
        {"16000000w", UINT64_MAX},
        {"4611686018427387903us", INT64_MAX / 2},
        {"4611686018427387904us", UINT64_MAX},
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t usec = 4711;

        if (config_parse_span(good[i].text, &usec) != 0 || usec != good[i].usec)
            TEST_FAIL("\"%s\" is not %llu us", good[i].text, (unsigned long long)good[i].usec);
    }
}

TEST(bad_spans)
{
    static const char *const bad[] = {
        "",
        " ",
        " 1",
        "-1",
        "+1",
        "1.5h",
        "1H",
        "1Min",
        "1mon",
        "1y",
        "x",
        "s",
        "1,2",
        "1h,",
        "0x10",
        "1e3",
        "1\t",
        "1 h\n",
        "1 -2",
        "1us2x",
        "infinity ",
        "Infinity",
        "1 infinity",
        "18446744073709551616us",
        "18446744073709552",
        "18446744073709551615us 1us",
        "99999999999999999999999999",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t usec = 4711;

        if (config_parse_span(bad[i], &usec) != -EINVAL || usec != 4711)
            TEST_FAIL("\"%s\" is taken for %llu us", bad[i], (unsigned long long)usec);
    }
}

TEST(idle_exit)
{
    Config c = config_default;

    ASSERT_EQ(c.idle_exit_usec, 10 * MINUTE);
    ASSERT_OK(config_set(&c, "Manager", "IdleExitSec", "30"));
    ASSERT_EQ(c.idle_exit_usec, 30 * USEC_PER_SEC);
    ASSERT_OK(config_set(&c, "Manager", "IdleExitSec", "0"));
    ASSERT_EQ(c.idle_exit_usec, UINT64_MAX);
    ASSERT_OK(config_set(&c, "Manager", "IdleExitSec", "infinity"));
    ASSERT_EQ(c.idle_exit_usec, UINT64_MAX);
    ASSERT_EQ(config_set(&c, "Manager", "IdleExitSec", "29s"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "IdleExitSec", "1us"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "IdleExitSec", "never"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "IdleExitSec", ""), -EINVAL);
}

TEST(retire)
{
    Config c = config_default;

    ASSERT_EQ(c.retire_usec, DAY);
    ASSERT_OK(config_set(&c, "Manager", "RetireSec", "0"));
    ASSERT_EQ(c.retire_usec, 0);
    ASSERT_OK(config_set(&c, "Manager", "RetireSec", "2w"));
    ASSERT_EQ(c.retire_usec, 14 * DAY);
    ASSERT_OK(config_set(&c, "Manager", "RetireSec", "infinity"));
    ASSERT_EQ(c.retire_usec, UINT64_MAX);
    ASSERT_EQ(config_set(&c, "Manager", "RetireSec", "-1"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "RetireSec", ""), -EINVAL);
}

TEST(negative_timeout)
{
    Config c = config_default;

    ASSERT_EQ(c.negative_timeout_sec, 5);
    ASSERT_OK(config_set(&c, "Upcall", "NegativeTimeoutSec", "1"));
    ASSERT_EQ(c.negative_timeout_sec, 1);
    ASSERT_OK(config_set(&c, "Upcall", "NegativeTimeoutSec", "1h"));
    ASSERT_EQ(c.negative_timeout_sec, 3600);
    ASSERT_EQ(config_set(&c, "Upcall", "NegativeTimeoutSec", "0"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Upcall", "NegativeTimeoutSec", "999ms"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Upcall", "NegativeTimeoutSec", "3601"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Upcall", "NegativeTimeoutSec", "infinity"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Upcall", "NegativeTimeoutSec", "five"), -EINVAL);
    ASSERT_EQ(c.negative_timeout_sec, 3600);
}

TEST(provision)
{
    Config c = config_default;

    ASSERT_TRUE(!c.on_demand && !c.on_demand_force);
    ASSERT_EQ(c.on_demand_sec, 60);
    ASSERT_OK(config_set(&c, "Manager", "Provision", "on-demand"));
    ASSERT_TRUE(c.on_demand);
    ASSERT_OK(config_set(&c, "Manager", "Provision", "resident"));
    ASSERT_TRUE(!c.on_demand);
    ASSERT_EQ(config_set(&c, "Manager", "Provision", ""), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "Provision", "on-demand "), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "Provision", "yes"), -EINVAL);
    ASSERT_OK(config_set(&c, "Manager", "OnDemandForce", "yes"));
    ASSERT_TRUE(c.on_demand_force);
    ASSERT_OK(config_set(&c, "Manager", "OnDemandTimeoutSec", "20"));
    ASSERT_EQ(c.on_demand_sec, 20);
    ASSERT_OK(config_set(&c, "Manager", "OnDemandTimeoutSec", "1d"));
    ASSERT_EQ(c.on_demand_sec, 86400);
    ASSERT_EQ(config_set(&c, "Manager", "OnDemandTimeoutSec", "19"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "OnDemandTimeoutSec", "0"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "OnDemandTimeoutSec", "86401"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "OnDemandTimeoutSec", "infinity"), -EINVAL);
    ASSERT_EQ(c.on_demand_sec, 86400);
}

TEST(restart_tlshd)
{
    Config c = config_default;

    ASSERT_TRUE(!c.restart_tlshd);
    ASSERT_OK(config_set(&c, "Manager", "RestartTlshd", "yes"));
    ASSERT_TRUE(c.restart_tlshd);
    ASSERT_OK(config_set(&c, "Manager", "RestartTlshd", "no"));
    ASSERT_TRUE(!c.restart_tlshd);
    ASSERT_EQ(config_set(&c, "Manager", "RestartTlshd", ""), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "RestartTlshd", "tlshd.service"), -EINVAL);
}

TEST(stand_in)
{
    static const char *const words[][2] = {
        {"yes", "no"}, {"1", "0"}, {"true", "false"}, {"on", "off"}, {"YES", "No"}};
    static const char *const bad[] = {"", "y", "maybe", "2", "yes ", "on off"};
    Config c = config_default;

    ASSERT_TRUE(!c.stand_in);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        ASSERT_OK(config_set(&c, "Keyring", "StandIn", words[i][0]));
        ASSERT_TRUE(c.stand_in);
        ASSERT_OK(config_set(&c, "Keyring", "StandIn", words[i][1]));
        ASSERT_TRUE(!c.stand_in);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_EQ(config_set(&c, "Keyring", "StandIn", bad[i]), -EINVAL);
}

/* Names of options are case-sensitive, and belong to one section. */
TEST(unknown)
{
    Config c = config_default;

    ASSERT_EQ(config_set(&c, "Manager", "StandIn", "yes"), -ENOENT);
    ASSERT_EQ(config_set(&c, "Keyring", "standin", "yes"), -ENOENT);
    ASSERT_EQ(config_set(&c, "keyring", "StandIn", "yes"), -ENOENT);
    ASSERT_EQ(config_set(&c, "", "StandIn", "yes"), -ENOENT);
    ASSERT_EQ(config_set(&c, "Keyring", "", "yes"), -ENOENT);
    ASSERT_EQ(memcmp(&c, &config_default, sizeof(c)), 0);
}

TEST(export_keys)
{
    Config c = config_default;

    ASSERT_TRUE(c.export_keys);
    ASSERT_OK(config_set(&c, "Manager", "Export", "no"));
    ASSERT_TRUE(!c.export_keys);
    ASSERT_EQ(config_set(&c, "Manager", "Export", "never"), -EINVAL);
    ASSERT_TRUE(!c.export_keys);
}

TEST(guard)
{
    Config c = config_default;

    ASSERT_TRUE(c.guard && !c.displace_foreign);
    ASSERT_EQ(c.max_age_usec, UINT64_MAX);
    ASSERT_OK(config_set(&c, "Keyring", "Guard", "no"));
    ASSERT_OK(config_set(&c, "Keyring", "Foreign", "displace"));
    ASSERT_OK(config_set(&c, "Manager", "MaxAgeSec", "90d"));
    ASSERT_TRUE(!c.guard && c.displace_foreign);
    ASSERT_EQ(c.max_age_usec, 90 * 24 * 60 * MINUTE);
    ASSERT_OK(config_set(&c, "Keyring", "Foreign", "warn"));
    ASSERT_TRUE(!c.displace_foreign);
    ASSERT_EQ(config_set(&c, "Keyring", "Foreign", "adopt"), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "MaxAgeSec", "0"), -EINVAL);
}

/* A refused value leaves the previous one. */
TEST(refused)
{
    static const char *const all[][2] = {{"Manager", "IdleExitSec"},
                                         {"Manager", "RetireSec"},
                                         {"Manager", "Provision"},
                                         {"Manager", "OnDemandTimeoutSec"},
                                         {"Manager", "OnDemandForce"},
                                         {"Manager", "RestartTlshd"},
                                         {"Upcall", "NegativeTimeoutSec"},
                                         {"Keyring", "StandIn"},
                                         {"Store", "AllowNullKey"},
                                         {"Store", "OtherCounters"},
                                         {"Keyring", "Guard"},
                                         {"Keyring", "Foreign"},
                                         {"Manager", "MaxAgeSec"}};
    static const char *const bad[] = {"", "5 parsecs", "1us", "Resident", "maybe"};
    Config c = {.idle_exit_usec = 1, .on_demand = true, .on_demand_sec = 2};
    const Config before = c;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
            if (strcmp(bad[j], "1us") == 0 &&
                (strcmp(all[i][1], "RetireSec") == 0 || strcmp(all[i][1], "MaxAgeSec") == 0))
                continue;
            ASSERT_EQ(config_set(&c, all[i][0], all[i][1], bad[j]), -EINVAL);
            ASSERT_EQ(memcmp(&c, &before, sizeof(c)), 0);
            ASSERT_TRUE(config_allowed(all[i][0], all[i][1]));
        }
    ASSERT_TRUE(!config_allowed("Manager", "StandIn"));
}
