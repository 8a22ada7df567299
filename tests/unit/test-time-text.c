/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <time.h>

#include "basic/limits.h"
#include "nvme-keyd/config/time-text.h"
#include "test.h"

/* Tue 2026-12-01 09:20:00 UTC */
#define NOW (1796116800 * USEC_PER_SEC)
#define DAY_USEC (24 * 3600 * USEC_PER_SEC)
#define MIDNIGHT (1796083200 * USEC_PER_SEC)

static const struct {
    const char *text;
    uint64_t usec;
} good[] = {
    {"now", NOW},
    {"never", TIME_NEVER},
    {"+2h", NOW + 7200 * USEC_PER_SEC},
    {"+1d 30min", NOW + DAY_USEC + 1800 * USEC_PER_SEC},
    {"+90", NOW + 90 * USEC_PER_SEC},
    {"@0", 0},
    {"@1796116800", NOW},
    {"1970-01-01 UTC", 0},
    {"2026-12-01 09:20:00 UTC", NOW},
    {"2026-12-01 09:20 UTC", NOW},
    {"2026-12-01 UTC", MIDNIGHT},
    {"2026-12-01T09:20:00Z", NOW},
    {"Tue 2026-12-01 09:20 UTC", NOW},
    {"tuesday 2026-12-01 09:20 UTC", NOW},
    {"2028-02-29 UTC", 1835395200 * USEC_PER_SEC},
    {"9999-12-31 23:59:59 UTC", 253402300799 * USEC_PER_SEC},
    {"today UTC", MIDNIGHT},
    {"tomorrow UTC", MIDNIGHT + DAY_USEC},
    {"09:20 UTC", NOW},
    {"today 09:20 UTC", NOW},
    {"tomorrow 09:20:01 UTC", NOW + DAY_USEC + USEC_PER_SEC},
};

static const char *const bad[] = {
    "",
    " ",
    "UTC",
    "Z",
    "today ",
    "todayT10:00",
    "yesterday",
    "+",
    "+-1h",
    "+infinity",
    "@",
    "@x",
    "@-1",
    "@infinity",
    "-1h",
    "2h",
    "10",
    "10:",
    "10:0",
    "1:00",
    "24:00",
    "10:60",
    "10:00:60",
    "10:00:00.5",
    "2026",
    "2026-12",
    "2026-12-1",
    "2026-13-01",
    "2026-00-01",
    "2026-12-00",
    "2026-12-32",
    "2026-02-30 UTC",
    "2027-02-29 UTC",
    "1969-12-31 23:59:59 UTC",
    "12026-12-01",
    "2026-12-01 ",
    "2026-12-01  10:00",
    "2026-12-01 10:00 CET",
    "2026-12-01 10:00UTC",
    "2026-12-01 10:00:00 UTC x",
    "Mon 2026-12-01 UTC",
    "Tue",
    "Tue 10:00",
    "Tu 2026-12-01 UTC",
    "never ",
    "Never",
    "now+1h",
    "tomorrow+1h",
    "today tomorrow",
    "2026-12-01 today",
    "+9223372036854775807",
    "@9223372036854775807d",
};

TEST(good_times)
{
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t usec = 1;

        if (time_parse(good[i].text, NOW, &usec) < 0 || usec != good[i].usec)
            TEST_FAIL("%s: %llu", good[i].text, (unsigned long long)usec);
    }
}

TEST(bad_times)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t usec = 1;

        if (time_parse(bad[i], NOW, &usec) != -EINVAL || usec != 1)
            TEST_FAIL("\"%s\": %llu", bad[i], (unsigned long long)usec);
    }
}

/* Without a zone the times are those of the machine, which has summer time. */
TEST(local)
{
    uint64_t usec;

    ASSERT_OK(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1));
    tzset();
    ASSERT_OK(time_parse("2026-12-01 10:20", NOW, &usec));
    ASSERT_EQ(usec, NOW);
    ASSERT_OK(time_parse("10:20", NOW, &usec));
    ASSERT_EQ(usec, NOW);
    ASSERT_OK(time_parse("2026-07-01 11:00", NOW, &usec));
    ASSERT_EQ(usec, 1782896400 * USEC_PER_SEC);
    /* In the hour after midnight the day is another one than in UTC. */
    ASSERT_OK(time_parse("today", MIDNIGHT - USEC_PER_SEC, &usec));
    ASSERT_EQ(usec, MIDNIGHT - 3600 * USEC_PER_SEC);
    /* This day has 23 hours. */
    ASSERT_OK(time_parse("tomorrow", 1774771200 * USEC_PER_SEC, &usec));
    ASSERT_EQ(usec, 1774821600 * USEC_PER_SEC);
    ASSERT_OK(unsetenv("TZ"));
    tzset();
}
