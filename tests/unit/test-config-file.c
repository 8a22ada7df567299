/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/limits.h"
#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/limits.h"
#include "test.h"
#include "tree.h"

#define HOUR (3600 * USEC_PER_SEC)

/* A configuration file and its drop-ins, in a directory of their own. */
typedef struct Fixture {
    char dir[64];
    char path[96];
} Fixture;

static void fixture_done(const Fixture *f)
{
    tree_remove(f->dir);
}

static bool fixture_new(Fixture *f)
{
    char drop_ins[128];

    strcpy(f->dir, "/tmp/test-config-file-XXXXXX");
    if (!mkdtemp(f->dir)) {
        f->dir[0] = '\0';
        return false;
    }
    snprintf(f->path, sizeof(f->path), "%s/keyd.conf", f->dir);
    snprintf(drop_ins, sizeof(drop_ins), "%s.d", f->path);
    return mkdir(drop_ins, 0755) == 0;
}

/* name: the drop-in, or NULL for the file itself. */
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

#define NO_OPTION ": not an option: give OPTION=VALUE, [SECTION], or a comment after \"#\""

/* Loads the files of f into *ret and compares the problems with the given lines, each of which
 * begins with the path of a file. The lines end with NULL. */
static bool loads(const Fixture *f, Config *ret, ...)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    const char *line, *expected;
    bool good = true;
    size_t i = 0;
    va_list ap;

    config_load(f->path, ret, &problems);
    va_start(ap, ret);
    while ((expected = va_arg(ap, const char *))) {
        _cleanup_(freep) char *text = NULL;

        line = config_problem(&problems, i++);
        good = asprintf(&text, "%s%s", f->path, expected) >= 0 && line && strcmp(line, text) == 0 &&
               good;
    }
    va_end(ap);
    if (good && problems.n == i)
        return true;
    for (i = 0; (line = config_problem(&problems, i)); i++)
        printf("# %s\n", line);
    return false;
}

TEST(no_file)
{
    Config c = {.retire_usec = 1};
    FIXTURE;

    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_EQ(memcmp(&c, &config_default, sizeof(c)), 0);
    strcpy(f.path, "/nonexistent/keyd.conf");
    ASSERT_TRUE(loads(&f, &c, NULL));
}

TEST(file)
{
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL,
                    "\xef\xbb\xbf# comment\n; comment\n\n[Manager]\nIdleExitSec = 45s\r\n"
                    "RetireSec=1h 30min ; inline\n[Upcall]\n  \n  NegativeTimeoutSec=7\n"
                    "  # indented\n  [Keyring]\nStandIn=yes"));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_EQ(c.idle_exit_usec, 45 * USEC_PER_SEC);
    ASSERT_EQ(c.retire_usec, HOUR + HOUR / 2);
    ASSERT_EQ(c.negative_timeout_sec, 7);
    ASSERT_TRUE(c.stand_in);
}

/* An indented option is an option, and does not continue the line before. */
TEST(indented)
{
    Config c;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\n  IdleExitSec=45s\n  RetireSec=1h\n"));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_EQ(c.idle_exit_usec, 45 * USEC_PER_SEC);
    ASSERT_EQ(c.retire_usec, HOUR);
}

/* Unknown options and sections may belong to a newer version, so they are reported, but counted
 * separately. */
TEST(file_unknown)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config c;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Future]\nx=1\n[Manager]\nColour=red\nRetireSec=1\n"));
    ASSERT_TRUE(loads(&f, &c, ":2: unknown option x= in section [Future], ignored",
                      ":4: unknown option Colour= in section [Manager], ignored", NULL));
    ASSERT_EQ(c.retire_usec, USEC_PER_SEC);
    config_load(f.path, &c, &problems);
    ASSERT_EQ(problems.n, 2);
    ASSERT_EQ(problems.n_unknown, 2);
}

/* Drop-ins are read in the order of their names, and a later value replaces an earlier one. Other
 * files in the directory are ignored. */
TEST(drop_ins)
{
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\nRetireSec=1\nIdleExitSec=100\n"));
    ASSERT_TRUE(put(&f, "20-b.conf", "[Manager]\nRetireSec=3\n"));
    ASSERT_TRUE(put(&f, "10-a.conf", "[Manager]\nRetireSec=2\nIdleExitSec=50\n"));
    ASSERT_TRUE(put(&f, "30-c.conf.bak", "[Manager]\nRetireSec=4\n"));
    ASSERT_TRUE(put(&f, ".40-d.conf", "[Upcall]\nNegativeTimeoutSec=9\n"));
    ASSERT_TRUE(put(&f, ".conf", "[Keyring]\nStandIn=yes\n"));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_EQ(c.retire_usec, 3 * USEC_PER_SEC);
    ASSERT_EQ(c.idle_exit_usec, 50 * USEC_PER_SEC);
    ASSERT_EQ(c.negative_timeout_sec, config_default.negative_timeout_sec);
    ASSERT_TRUE(!c.stand_in);
}

TEST(drop_ins_alone)
{
    Config c = config_default;
    FIXTURE;

    ASSERT_TRUE(put(&f, "10-a.conf", "[Keyring]\nStandIn=on\n"));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_TRUE(c.stand_in);
}

/* Each bad value is reported with the allowed ones. The other lines count, and so does an earlier
 * file with the same option. */
TEST(bad_values)
{
    Config c;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL,
                    "[Manager]\nIdleExitSec=5s\nRetireSec=7\nProvision=maybe\n[Keyring]\n"
                    "StandIn=2\n"));
    ASSERT_TRUE(put(&f, "a.conf", "[Manager]\nRetireSec=x\nIdleExitSec=40\n"));
    ASSERT_TRUE(
        loads(&f, &c,
              ":2: IdleExitSec= in [Manager] cannot be \"5s\": give a time of 30s or more, "
              "or 0 or infinity to stay",
              ":4: Provision= in [Manager] cannot be \"maybe\": give resident or on-demand",
              ":6: StandIn= in [Keyring] cannot be \"2\": give yes or no",
              ".d/a.conf:2: RetireSec= in [Manager] cannot be \"x\": give a time such as 1d "
              "or \"1h 30min\", or infinity",
              NULL));
    ASSERT_EQ(c.retire_usec, 7 * USEC_PER_SEC);
    ASSERT_EQ(c.idle_exit_usec, 40 * USEC_PER_SEC);
    ASSERT_TRUE(!c.stand_in && !c.on_demand);
}

TEST(not_an_option)
{
    Config c;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Manager]\nnonsense\nRetireSec=1\n  more\nlast"));
    ASSERT_TRUE(loads(&f, &c, ":2" NO_OPTION, ":4" NO_OPTION, ":5" NO_OPTION, NULL));
    ASSERT_EQ(c.retire_usec, USEC_PER_SEC);
    ASSERT_TRUE(put(&f, NULL, "[Manager\nRetireSec=1\n"));
    ASSERT_TRUE(loads(&f, &c, ":1" NO_OPTION,
                      ":2: unknown option RetireSec= in section [], ignored", NULL));
}

/* A line that is too long is one problem, and the next line still has its own number. */
TEST(long_line)
{
    char text[700] = "[Manager]\nRetireSec=";
    size_t n = strlen(text);
    Config c;
    FIXTURE;

    memset(text + n, '1', 600);
    strcpy(text + n + 600, "\nIdleExitSec=1\n");
    ASSERT_TRUE(put(&f, NULL, text));
    ASSERT_TRUE(loads(&f, &c, ":2: longer than 198 bytes, ignored",
                      ":3: IdleExitSec= in [Manager] cannot be \"1\": give a time of 30s or more, "
                      "or 0 or infinity to stay",
                      NULL));
    ASSERT_EQ(c.retire_usec, config_default.retire_usec);
}

/* A NUL byte hides the rest of its line, but not the next line. */
TEST(zero_byte)
{
    static const char text[] = "[Manager]\nRetireSec=1h\0x\nIdleExitSec=90s\n";
    FILE *file;
    Config c;
    FIXTURE;

    file = fopen(f.path, "w");
    ASSERT_TRUE(file);
    ASSERT_EQ(fwrite(text, 1, sizeof(text) - 1, file), sizeof(text) - 1);
    ASSERT_OK(fclose(file));
    ASSERT_TRUE(loads(&f, &c, ":2: contains a NUL byte, ignored", NULL));
    ASSERT_EQ(c.idle_exit_usec, 90 * USEC_PER_SEC);
    ASSERT_EQ(c.retire_usec, config_default.retire_usec);
}

TEST(many)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    char text[2001], last[160];
    Config c;
    FIXTURE;

    for (size_t i = 0; i < 1000; i++)
        memcpy(text + 2 * i, "x\n", 3);
    ASSERT_TRUE(put(&f, NULL, text));
    config_load(f.path, &c, &problems);
    ASSERT_EQ(problems.n, 1000);
    snprintf(last, sizeof(last), "%s: 968 more problems, not listed", f.path);
    ASSERT_TRUE(strcmp(config_problem(&problems, CONFIG_PROBLEMS_MAX), last) == 0);
    ASSERT_TRUE(!config_problem(&problems, CONFIG_PROBLEMS_MAX + 1));
}

/* Problems are shown on terminals and in JSON, so they are printable whatever the file contains. */
TEST(unprintable)
{
    Config c;
    FIXTURE;

    ASSERT_TRUE(put(&f, NULL, "[Upcall]\nNegativeTimeoutSec=\x1b[2J\xff\xc3\n"));
    ASSERT_TRUE(
        loads(&f, &c,
              ":2: NegativeTimeoutSec= in [Upcall] cannot be \"?[2J??\": give a time from 1s "
              "to 1h",
              NULL));
}

/* A file that cannot be read is a problem, unlike a missing one, and must not block. */
TEST(unreadable)
{
    char path[160];
    Config c;
    FIXTURE;

    ASSERT_OK(symlink("keyd.conf", f.path));
    ASSERT_TRUE(
        loads(&f, &c, ": cannot be read, ignored: Too many levels of symbolic links", NULL));
    ASSERT_OK(unlink(f.path));
    ASSERT_OK(symlink("nothing", f.path));
    ASSERT_TRUE(loads(&f, &c, ": cannot be read, ignored: No such file or directory", NULL));
    ASSERT_OK(unlink(f.path));
    ASSERT_OK(mkdir(f.path, 0755));
    snprintf(path, sizeof(path), "%s.d/a.conf", f.path);
    ASSERT_OK(mkdir(path, 0755));
    snprintf(path, sizeof(path), "%s.d/b.conf", f.path);
    ASSERT_OK(mkfifo(path, 0644));
    snprintf(path, sizeof(path), "%s.d/c.conf", f.path);
    ASSERT_OK(symlink("/dev/null", path));
    snprintf(path, sizeof(path), "%s.d/d.conf", f.path);
    ASSERT_OK(symlink("/dev/zero", path));
    ASSERT_TRUE(put(&f, "e.conf", "x"));
    snprintf(path, sizeof(path), "%s.d/e.conf", f.path);
    ASSERT_OK(truncate(path, CONFIG_FILE_MAX + 1));
    ASSERT_TRUE(put(&f, "f.conf", "[Manager]\nRetireSec=5\n"));
    ASSERT_TRUE(loads(&f, &c, ": cannot be read, ignored: is a directory",
                      ".d/a.conf: cannot be read, ignored: is a directory",
                      ".d/b.conf: cannot be read, ignored: is not a regular file",
                      ".d/d.conf: cannot be read, ignored: is not a regular file",
                      ".d/e.conf: cannot be read, ignored: is too large", NULL));
    ASSERT_EQ(c.retire_usec, 5 * USEC_PER_SEC);
}

TEST(no_directory)
{
    char path[160];
    Config c;
    FIXTURE;

    snprintf(path, sizeof(path), "%s.d", f.path);
    ASSERT_OK(rmdir(path));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_OK(symlink("/dev/null", path));
    ASSERT_TRUE(loads(&f, &c, ".d: cannot be read, ignored: Not a directory", NULL));
}

/* Loads the directories "etc" and "usr" below f->dir. Returns the number of problems. */
static size_t load_from(const Fixture *f, Config *ret)
{
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    char dirs[2][160];
    const char *const directories[] = {dirs[0], dirs[1], NULL};

    snprintf(dirs[0], sizeof(dirs[0]), "%s/etc", f->dir);
    snprintf(dirs[1], sizeof(dirs[1]), "%s/usr", f->dir);
    config_load_from(directories, ret, &problems);
    return problems.n;
}

static bool put_in(const Fixture *f, const char *directory, const char *name, const char *text)
{
    char path[320];
    FILE *file;
    bool ok;

    snprintf(path, sizeof(path), "%s/%s", f->dir, directory);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%s/nvme-keyd.conf.d", f->dir, directory);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%s/%s", f->dir, directory, name);
    file = fopen(path, "w");
    ok = file && fputs(text, file) >= 0;
    return file && fclose(file) == 0 && ok;
}

/* The file of the first directory alone counts. Drop-ins of all directories are read in the order
 * of their names, and beat it. */
TEST(directories)
{
    Config c;
    FIXTURE;

    ASSERT_EQ(load_from(&f, &c), 0);
    ASSERT_EQ(memcmp(&c, &config_default, sizeof(c)), 0);
    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf", "[Manager]\nRetireSec=1\nIdleExitSec=100\n"));
    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf.d/20-b.conf", "[Manager]\nMaxAgeSec=2\n"));
    ASSERT_TRUE(
        put_in(&f, "etc", "nvme-keyd.conf.d/10-a.conf", "[Manager]\nMaxAgeSec=3\nRetireSec=4\n"));
    ASSERT_EQ(load_from(&f, &c), 0);
    ASSERT_EQ(c.idle_exit_usec, 100 * USEC_PER_SEC);
    ASSERT_EQ(c.retire_usec, 4 * USEC_PER_SEC);
    ASSERT_EQ(c.max_age_usec, 2 * USEC_PER_SEC);
    ASSERT_TRUE(put_in(&f, "etc", "nvme-keyd.conf", "[Manager]\nRetireSec=1\n"));
    ASSERT_EQ(load_from(&f, &c), 0);
    ASSERT_EQ(c.idle_exit_usec, config_default.idle_exit_usec);
}

/* An empty file, a link to /dev/null or another file of the same name hides the one of a later
 * directory. */
TEST(masks)
{
    Config c;
    char path[160];
    FIXTURE;

    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf", "[Upcall]\nNegativeTimeoutSec=9\n"));
    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf.d/1.conf", "[Manager]\nRetireSec=1\n"));
    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf.d/2.conf", "[Manager]\nMaxAgeSec=2\n"));
    ASSERT_TRUE(put_in(&f, "usr", "nvme-keyd.conf.d/3.conf", "[Keyring]\nStandIn=yes\nbad\n"));
    ASSERT_TRUE(put_in(&f, "etc", "nvme-keyd.conf.d/1.conf", ""));
    ASSERT_TRUE(put_in(&f, "etc", "nvme-keyd.conf.d/2.conf", "[Keyring]\nGuard=no\n"));
    ASSERT_EQ(load_from(&f, &c), 1);
    ASSERT_TRUE(c.stand_in && !c.guard);
    ASSERT_EQ(c.negative_timeout_sec, 9);
    snprintf(path, sizeof(path), "%s/etc/nvme-keyd.conf.d/3.conf", f.dir);
    ASSERT_OK(symlink("/dev/null", path));
    snprintf(path, sizeof(path), "%s/etc/nvme-keyd.conf", f.dir);
    ASSERT_OK(symlink("/dev/null", path));
    ASSERT_EQ(load_from(&f, &c), 0);
    ASSERT_EQ(c.retire_usec, config_default.retire_usec);
    ASSERT_EQ(c.max_age_usec, config_default.max_age_usec);
    ASSERT_EQ(c.negative_timeout_sec, config_default.negative_timeout_sec);
    ASSERT_TRUE(!c.stand_in && !c.guard);
}

/* The sample has each option with its default, commented out. */
TEST(sample)
{
    _cleanup_(freep) char *text = NULL;
    size_t size, n = 0;
    Config c;
    FIXTURE;

    ASSERT_OK(tree_read(getenv("CONFIG_SAMPLE"), &text, &size));
    for (char *p = text; (p = strchr(p, '\n')); p++)
        if (p[1] == '#' && p[2] >= 'A' && p[2] <= 'Z' &&
            strcspn(p + 1, "=") < strcspn(p + 1, " \n")) {
            p[1] = ' ';
            n++;
        }
    ASSERT_TRUE(n > 10);
    ASSERT_TRUE(put(&f, NULL, text));
    ASSERT_TRUE(loads(&f, &c, NULL));
    ASSERT_EQ(memcmp(&c, &config_default, sizeof(c)), 0);
}
