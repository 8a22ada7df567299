/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/names.h"
#include "test.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Between begin and end, standard error is a pipe; end returns the text. */
typedef struct Capture {
    int saved, reader;
    char text[4096];
} Capture;

static bool capture_begin(Capture *c)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    c->reader = ends[0];
    (void)dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return true;
}

static const char *capture_end(Capture *c)
{
    ssize_t n = read(c->reader, c->text, sizeof(c->text) - 1);

    (void)dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    close(c->reader);
    c->text[n > 0 ? n : 0] = '\0';
    return c->text;
}

static void setup(const char *name, const char *level)
{
    if (level)
        (void)setenv(NAMES_ENV_LOG_LEVEL, level, 1);
    else
        (void)unsetenv(NAMES_ENV_LOG_LEVEL);
    log_setup(name);
}

/* Must stay first, before any call of log_setup(). */
TEST(without_setup)
{
    Capture c;

    ASSERT_TRUE(capture_begin(&c));
    log_info("shown %d", 1);
    log_debug("hidden");
    ASSERT_STR(capture_end(&c), "shown 1\n");
}

TEST(name_and_error)
{
    Capture c;
    int r;

    setup("nvme-keyd", NULL);
    ASSERT_TRUE(capture_begin(&c));
    r = log_error_errno(-ENOENT, "Cannot read %s", "x");
    ASSERT_STR(capture_end(&c), "nvme-keyd: Cannot read x: No such file or directory\n");
    ASSERT_EQ(r, -ENOENT);

    setup(NULL, NULL);
    ASSERT_TRUE(capture_begin(&c));
    r = log_warning_errno(0, "100%% fine");
    ASSERT_STR(capture_end(&c), "100% fine\n");
    ASSERT_OK(r);
}

/* Logs once at each of the eight levels; returns the number of lines shown. */
static int shown(const char *level)
{
    Capture c;
    int n = 0;

    setup(NULL, level);
    if (!capture_begin(&c))
        return -1;
    for (int i = LOG_EMERG; i <= LOG_DEBUG; i++)
        (void)log_full(i, 0, NULL, "%d", i);
    for (const char *p = capture_end(&c); *p; p += 2, n++)
        if (p[0] != '0' + n || p[1] != '\n')
            return -1;
    return n;
}

TEST(levels)
{
    static const char *const words[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};
    char digit[] = "0";

    for (int i = 0; i < 8; i++) {
        ASSERT_EQ(shown(words[i]), i + 1);
        digit[0] = (char)('0' + i);
        ASSERT_EQ(shown(digit), i + 1);
    }
    ASSERT_EQ(shown(NULL), LOG_INFO + 1);
    ASSERT_EQ(shown(""), LOG_INFO + 1);
    ASSERT_EQ(shown("8"), LOG_INFO + 1);
    ASSERT_EQ(shown("77"), LOG_INFO + 1);
    ASSERT_EQ(shown("verbose"), LOG_INFO + 1);
}

TEST(hidden_returns_error)
{
    Capture c;
    int r;

    setup(NULL, "err");
    ASSERT_TRUE(capture_begin(&c));
    r = log_debug_errno(-EIO, "hidden");
    log_warning("hidden");
    log_notice("hidden");
    log_error("shown");
    ASSERT_STR(capture_end(&c), "shown\n");
    ASSERT_EQ(r, -EIO);
}

TEST(long_message)
{
    char text[3000];
    Capture c;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    setup(NULL, NULL);
    for (size_t length = 990; length < 1040; length++) {
        ASSERT_TRUE(capture_begin(&c));
        (void)log_error_errno(-ENOENT, "%.*s", (int)length, text);
        (void)capture_end(&c);
        ASSERT_TRUE(strlen(c.text) <= 1024 &&
                    strspn(c.text, "x") >= (length < 1000 ? length : 1000));
        ASSERT_EQ(c.text[strlen(c.text) - 1], '\n');
    }
    ASSERT_TRUE(capture_begin(&c));
    log_error("%s", text);
    ASSERT_EQ(strspn(capture_end(&c), "x"), 1023);
}

/* Listens in the place of the journal, for this process; needs root. */
static int listen_as_journal(void)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    int fd;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, "mode=0755") < 0)
        return -EPERM;
    if (mkdir("/run/systemd", 0755) < 0 || mkdir("/run/systemd/journal", 0755) < 0)
        return -errno;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return fd;
}

/* Makes the logger believe that the present standard error belongs to the journal. */
static bool pretend_journal_stream(unsigned inode_offset)
{
    char text[64];
    struct stat st;

    if (fstat(STDERR_FILENO, &st) < 0)
        return false;
    (void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino + inode_offset);
    return setenv("JOURNAL_STREAM", text, 1) == 0;
}

static const LogFields all_fields = {
    MESSAGE_KEY_ADDED, "nqn.2014-08.org.nvmexpress:uuid:host", "nqn.io-1", "0123456789abcdef",
    "cleared",
};

/* Logs once with a matching stream or another; *ret_entry is the entry of the journal. */
static bool log_to_journal(int journal, bool matching, const LogFields *fields, int error,
                           Capture *c, char *ret_entry, size_t size)
{
    ssize_t n;
    bool good;

    if (!capture_begin(c))
        return false;
    good = pretend_journal_stream(matching ? 0 : 1);
    setup("nvme-keyd", NULL);
    (void)log_full(LOG_WARNING, error, fields, "Key %s", "added");
    (void)capture_end(c);
    (void)unsetenv("JOURNAL_STREAM");
    n = recv(journal, ret_entry, size - 1, 0);
    ret_entry[n > 0 ? n : 0] = '\0';
    return good;
}

static bool has_line(const char *entry, const char *line)
{
    const char *p = strstr(entry, line);

    return p && (p == entry || p[-1] == '\n') && p[strlen(line)] == '\n';
}

TEST(journal_fields)
{
    _cleanup_(closep) int journal = listen_as_journal();
    char entry[8192];
    Capture c;

    if (journal == -EPERM)
        TEST_SKIP("needs the right to mount");
    ASSERT_TRUE(journal >= 0);

    ASSERT_TRUE(log_to_journal(journal, true, &all_fields, -EIO, &c, entry, sizeof(entry)));
    ASSERT_STR(c.text, "");
    ASSERT_TRUE(has_line(entry, "MESSAGE=Key added: Input/output error"));
    ASSERT_TRUE(has_line(entry, "PRIORITY=4"));
    ASSERT_TRUE(has_line(entry, "MESSAGE_ID=" MESSAGE_KEY_ADDED));
    ASSERT_TRUE(has_line(entry, "NVME_HOSTNQN=nqn.2014-08.org.nvmexpress:uuid:host"));
    ASSERT_TRUE(has_line(entry, "NVME_SUBSYSNQN=nqn.io-1"));
    ASSERT_TRUE(has_line(entry, "NVME_KEY_ID=0123456789abcdef"));
    ASSERT_TRUE(has_line(entry, "NVME_CAUSE=cleared"));
    ASSERT_TRUE(!strstr(entry, "CODE_"));

    /* Without fields and error the entry has only those of every message. */
    ASSERT_TRUE(log_to_journal(journal, true, NULL, 0, &c, entry, sizeof(entry)));
    ASSERT_TRUE(has_line(entry, "MESSAGE=Key added") && has_line(entry, "PRIORITY=4"));
    ASSERT_TRUE(!strstr(entry, "NVME_") && !strstr(entry, "MESSAGE_ID"));

    /* Standard error was redirected since, so the journal gets nothing. */
    ASSERT_TRUE(log_to_journal(journal, false, &all_fields, 0, &c, entry, sizeof(entry)));
    ASSERT_STR(c.text, "nvme-keyd: Key added\n");
    ASSERT_STR(entry, "");
}

/* A value with newlines has its size before it. A long one is cut between two characters. */
TEST(journal_values)
{
    _cleanup_(closep) int journal = listen_as_journal();
    static const char binary[] = "NVME_HOSTNQN\n\x07\0\0\0\0\0\0\0one\ntwo\n";
    LogFields fields = {.hostnqn = "one\ntwo"};
    char entry[8192], text[3001];
    const char *p;
    Capture c;

    if (journal == -EPERM)
        TEST_SKIP("needs the right to mount");
    ASSERT_TRUE(journal >= 0);
    ASSERT_TRUE(log_to_journal(journal, true, &fields, 0, &c, entry, sizeof(entry)));
    ASSERT_TRUE(memmem(entry, sizeof(entry), binary, sizeof(binary) - 1));
    ASSERT_TRUE(has_line(entry, "SYSLOG_IDENTIFIER=nvme-keyd"));

    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    for (size_t shift = 0; shift < 2; shift++) {
        text[shift] = 'x';
        text[sizeof(text) - 1] = '\0';
        fields.hostnqn = text + shift;
        ASSERT_TRUE(log_to_journal(journal, true, &fields, 0, &c, entry, sizeof(entry)));
        p = strstr(entry, "NVME_HOSTNQN=");
        ASSERT_TRUE(p);
        p = strchr(p, '\n');
        ASSERT_TRUE(p && (unsigned char)p[-1] == 0xa4 && p - entry < 1600);
    }
}

/* Fills the journal's queue; returns false if it takes too many. One socket may send only so much,
 * so this takes several. */
static bool stall_journal(void)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    bool sent = true;

    for (int i = 0; i < 1000 && sent; i++) {
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        sent = false;
        while (sendto(fd, "X=", 2, 0, (const struct sockaddr *)&address, sizeof(address)) > 0)
            sent = true;
    }
    return !sent && errno == EAGAIN;
}

static void drain_journal(int journal, char *last, size_t size)
{
    ssize_t n;

    while ((n = recv(journal, last, size - 1, MSG_DONTWAIT)) >= 0)
        last[n] = '\0';
}

/* A logger that waits would wait for ever. */
TEST(journal_full)
{
    _cleanup_(closep) int journal = listen_as_journal();
    uint64_t before = log_dropped();
    char entry[8192] = "";
    Capture c;

    if (journal == -EPERM)
        TEST_SKIP("needs the right to mount");
    ASSERT_TRUE(journal >= 0 && capture_begin(&c) && pretend_journal_stream(0));
    setup("nvme-keyd", NULL);
    ASSERT_TRUE(stall_journal());
    for (int i = 0; i < 3; i++) {
        errno = ERANGE;
        log_info("lost");
        ASSERT_EQ(errno, ERANGE);
    }
    log_debug("hidden");
    ASSERT_EQ(log_dropped() - before, 3);
    ASSERT_TRUE(log_has_gap() && !log_report_dropped());
    ASSERT_EQ(log_dropped() - before, 3);

    drain_journal(journal, entry, sizeof(entry));
    ASSERT_TRUE(log_report_dropped() && !log_has_gap());
    drain_journal(journal, entry, sizeof(entry));
    ASSERT_TRUE(strstr(entry, "MESSAGE=3 log lines were dropped"));
    ASSERT_TRUE(has_line(entry, "MESSAGE_ID=" MESSAGE_LOG_DROPPED));
    ASSERT_TRUE(log_report_dropped());
    ASSERT_EQ(recv(journal, entry, sizeof(entry), MSG_DONTWAIT), -1);

    /* The next line follows the one with the count. */
    ASSERT_TRUE(stall_journal());
    log_info("lost");
    drain_journal(journal, entry, sizeof(entry));
    log_info("not lost");
    ASSERT_TRUE(recv(journal, entry, sizeof(entry), MSG_DONTWAIT) > 0);
    ASSERT_TRUE(strstr(entry, "MESSAGE=1 log lines were dropped"));
    drain_journal(journal, entry, sizeof(entry));
    ASSERT_TRUE(strstr(entry, "MESSAGE=not lost"));
    ASSERT_EQ(log_dropped() - before, 4);
    (void)capture_end(&c);
    (void)unsetenv("JOURNAL_STREAM");
}

/* Standard error is shared with other processes, so it must not become non-blocking. */
static void log_to_full(int fd, uint64_t *ret_dropped)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), flags = fcntl(fd, F_GETFL);
    uint64_t before = log_dropped();

    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    (void)signal(SIGPIPE, SIG_IGN);
    while (write(fd, "12345678", 8) > 0)
        ;
    (void)signal(SIGPIPE, SIG_DFL);
    (void)fcntl(fd, F_SETFL, flags);
    (void)dup2(fd, STDERR_FILENO);
    setup("nvme-keyd", NULL);
    log_info("lost");
    (void)dup2(saved, STDERR_FILENO);
    close(saved);
    *ret_dropped = log_dropped() - before;
    if (fcntl(fd, F_GETFL) != flags)
        *ret_dropped = 99;
}

TEST(stderr_full)
{
    uint64_t dropped;
    int fds[2];

    ASSERT_OK(pipe2(fds, O_CLOEXEC));
    log_to_full(fds[1], &dropped);
    ASSERT_EQ(dropped, 1);
    close(fds[0]);
    /* A reader that has closed must not end the program. */
    log_to_full(fds[1], &dropped);
    ASSERT_EQ(dropped, 1);
    close(fds[1]);

    ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    log_to_full(fds[1], &dropped);
    ASSERT_EQ(dropped, 1);
    close(fds[0]);
    close(fds[1]);
}
