/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/limits.h"
#include "basic/log.h"
#include "nvme-keyd/config.h"
#include "test.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* A configuration file and its drop-ins, in a directory of their own. */
typedef struct Fixture {
    char dir[64];
    char path[96];
} Fixture;

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
                      _unused_ struct FTW *ftw)
{
    return remove(path);
}

static void fixture_done(const Fixture *f)
{
    if (f->dir[0])
        (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool fixture_new(Fixture *f)
{
    char drop_ins[128];

    setenv("NVME_KEYD_LOG_LEVEL", "err", 1);
    log_setup(NULL);
    strcpy(f->dir, "/tmp/test-config-XXXXXX");
    if (!mkdtemp(f->dir)) {
        f->dir[0] = '\0';
        return false;
    }
    snprintf(f->path, sizeof(f->path), "%s/keyd.conf", f->dir);
    snprintf(drop_ins, sizeof(drop_ins), "%s.d", f->path);
    return mkdir(drop_ins, 0755) == 0;
}

/* name: of a drop-in, NULL for the file itself. */
static bool put(const Fixture *f, const char *name, const char *text)
{
    char path[256];
    FILE *file;
    bool ok;

    snprintf(path, sizeof(path), name ? "%s.d/%s" : "%s", f->path, name);
    file = fopen(path, "w");
    ok = file && fputs(text, file) >= 0;
    return file && fclose(file) == 0 && ok;
}

#define FIXTURE                                                                                    \
    _cleanup_(fixture_done) Fixture f = {.dir = ""};                                               \
    ASSERT_TRUE(fixture_new(&f))

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
        /* As good as for ever, and safe to add to a time. */
        {"16000000w", UINT64_MAX},
        {"4611686018427387903us", INT64_MAX / 2},
        {"4611686018427387904us", UINT64_MAX},
    };
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

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t usec = 4711;

        if (config_parse_span(good[i].text, &usec) != 0 || usec != good[i].usec)
            TEST_FAIL("\"%s\" is not %llu us", good[i].text, (unsigned long long)good[i].usec);
    }
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

TEST(restart_handshake_daemon)
{
    Config c = config_default;

    ASSERT_TRUE(!c.restart_handshake_daemon);
    ASSERT_OK(config_set(&c, "Manager", "RestartHandshakeDaemon", "yes"));
    ASSERT_TRUE(c.restart_handshake_daemon);
    ASSERT_OK(config_set(&c, "Manager", "RestartHandshakeDaemon", "no"));
    ASSERT_TRUE(!c.restart_handshake_daemon);
    ASSERT_EQ(config_set(&c, "Manager", "RestartHandshakeDaemon", ""), -EINVAL);
    ASSERT_EQ(config_set(&c, "Manager", "RestartHandshakeDaemon", "tlshd.service"), -EINVAL);
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

/* Names are what the manual writes, in their section. */
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

TEST(no_file)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = {.retire_usec = 1};
    FIXTURE;

    ASSERT_OK(config_load(f.path, &c, &detail));
    ASSERT_EQ(memcmp(&c, &config_default, sizeof(c)), 0);
    ASSERT_TRUE(!detail);
    ASSERT_OK(config_load("/nonexistent/keyd.conf", &c, &detail));
}

TEST(file)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL,
                    "\xef\xbb\xbf# comment\n; comment\n\n[Manager]\nIdleExitSec = 45s\r\n"
                    "RetireSec=1h 30min ; inline\n[Upcall]\n  \nNegativeTimeoutSec=7\n"
                    "[Keyring]\nStandIn=yes"));
    ASSERT_OK(config_load(f.path, &c, &detail));
    ASSERT_EQ(c.idle_exit_usec, 45 * USEC_PER_SEC);
    ASSERT_EQ(c.retire_usec, HOUR + 30 * MINUTE);
    ASSERT_EQ(c.negative_timeout_sec, 7);
    ASSERT_TRUE(c.stand_in);
}

/* Unknown things are for a newer version: they do not keep the daemon from its work. */
TEST(file_unknown)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Future]\nx=1\n[Manager]\nColour=red\nRetireSec=1\n"));
    ASSERT_OK(config_load(f.path, &c, &detail));
    ASSERT_EQ(c.retire_usec, USEC_PER_SEC);
}

/* By name, the later one wins, and over the file; what is no drop-in is not read. */
TEST(drop_ins)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\nRetireSec=1\nIdleExitSec=100\n"));
    ASSERT_TRUE(put(&f, "20-b.conf", "[Manager]\nRetireSec=3\n"));
    ASSERT_TRUE(put(&f, "10-a.conf", "[Manager]\nRetireSec=2\nIdleExitSec=50\n"));
    ASSERT_TRUE(put(&f, "30-c.conf.bak", "[Manager]\nRetireSec=4\n"));
    ASSERT_TRUE(put(&f, ".40-d.conf", "[Upcall]\nNegativeTimeoutSec=9\n"));
    ASSERT_TRUE(put(&f, ".conf", "[Keyring]\nStandIn=yes\n"));
    ASSERT_OK(config_load(f.path, &c, &detail));
    ASSERT_EQ(c.retire_usec, 3 * USEC_PER_SEC);
    ASSERT_EQ(c.idle_exit_usec, 50 * USEC_PER_SEC);
    ASSERT_EQ(c.negative_timeout_sec, config_default.negative_timeout_sec);
    ASSERT_TRUE(!c.stand_in);
}

TEST(drop_ins_alone)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, "10-a.conf", "[Keyring]\nStandIn=on\n"));
    ASSERT_OK(config_load(f.path, &c, &detail));
    ASSERT_TRUE(c.stand_in);
}

/* The line says which file, where in it, and what; and the configuration is as it was. */
static bool fails_with(const Fixture *f, const char *format, ...) _printf_(2, 3);
static bool fails_with(const Fixture *f, const char *format, ...)
{
    const Config before = {.retire_usec = 4711};
    _cleanup_(freep) char *detail = NULL, *expected = NULL;
    Config c = before;
    va_list ap;
    int n, r = config_load(f->path, &c, &detail);

    va_start(ap, format);
    n = vasprintf(&expected, format, ap);
    va_end(ap);
    if (n >= 0 && r == -EINVAL && detail && strcmp(detail, expected) == 0 &&
        memcmp(&c, &before, sizeof(c)) == 0)
        return true;
    printf("# %d: %s\n", r, detail ? detail : "(null)");
    return false;
}

TEST(bad_value)
{
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\n\nIdleExitSec=5s\n"));
    ASSERT_TRUE(fails_with(&f, "%s:3: IdleExitSec= in [Manager] cannot be \"5s\"", f.path));
    ASSERT_TRUE(put(&f, NULL, "[Manager]\nRetireSec=1\n"));
    ASSERT_TRUE(put(&f, "a.conf", "[Keyring]\nStandIn=perhaps\n"));
    ASSERT_TRUE(
        fails_with(&f, "%s.d/a.conf:2: StandIn= in [Keyring] cannot be \"perhaps\"", f.path));
    /* It is the first that counts. */
    ASSERT_TRUE(put(&f, "b.conf", "[Keyring]\nStandIn=never\n"));
    ASSERT_TRUE(
        fails_with(&f, "%s.d/a.conf:2: StandIn= in [Keyring] cannot be \"perhaps\"", f.path));
}

TEST(two_bad_values)
{
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\nIdleExitSec=5s\nRetireSec=x\n[Keyring]\nStandIn=2\n"));
    ASSERT_TRUE(fails_with(&f, "%s:2: IdleExitSec= in [Manager] cannot be \"5s\"", f.path));
    ASSERT_TRUE(put(&f, NULL, "[Manager]\nno option\nRetireSec=x\n"));
    ASSERT_TRUE(fails_with(&f, "%s:2: not an option", f.path));
}

TEST(not_an_option)
{
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\nRetireSec=1\nnonsense\n"));
    ASSERT_TRUE(fails_with(&f, "%s:3: not an option", f.path));
    ASSERT_TRUE(put(&f, NULL, "[Manager\nRetireSec=1\n"));
    ASSERT_TRUE(fails_with(&f, "%s:1: not an option", f.path));
}

/* A file that is there, but cannot be read, is not the same as none. */
TEST(unreadable)
{
    _cleanup_(freep) char *detail = NULL;
    Config c = config_default;
    char loop[128];
    FIXTURE;

    snprintf(loop, sizeof(loop), "%s/loop", f.dir);
    ASSERT_OK(symlink("loop", loop));
    ASSERT_TRUE(config_load(loop, &c, &detail) < 0);
    ASSERT_OK(mkdir(f.path, 0755));
    ASSERT_TRUE(config_load(f.path, &c, &detail) < 0);
}

TEST_MAIN(TEST_ENTRY(spans), TEST_ENTRY(idle_exit), TEST_ENTRY(retire),
          TEST_ENTRY(negative_timeout), TEST_ENTRY(provision), TEST_ENTRY(restart_handshake_daemon),
          TEST_ENTRY(stand_in), TEST_ENTRY(unknown), TEST_ENTRY(no_file), TEST_ENTRY(file),
          TEST_ENTRY(file_unknown), TEST_ENTRY(drop_ins), TEST_ENTRY(drop_ins_alone),
          TEST_ENTRY(bad_value), TEST_ENTRY(two_bad_values), TEST_ENTRY(not_an_option),
          TEST_ENTRY(unreadable))
