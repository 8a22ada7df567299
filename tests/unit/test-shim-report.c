/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "basic/macro.h"
#include "basic/names.h"
#include "test.h"

static char message[1000];
static size_t message_size;
static int message_flags;
static unsigned messages;
static bool socket_waits;
static int64_t clock_offset_msec;

static ssize_t fake_sendto(int fd, const void *data, size_t size, int flags,
                           const struct sockaddr *address, socklen_t address_size)
{
    const struct sockaddr_un *to = (const struct sockaddr_un *)(const void *)address;

    if (address_size < sizeof(*to) || strcmp(to->sun_path, "/dev/log") != 0 ||
        size >= sizeof(message))
        return -1;
    memcpy(message, data, size);
    message[size] = '\0';
    message_size = size;
    message_flags = flags;
    socket_waits = !(fcntl(fd, F_GETFL) & O_NONBLOCK) && !(flags & MSG_DONTWAIT);
    messages++;
    errno = EAGAIN;
    return -1;
}

static int fake_clock(clockid_t id, struct timespec *ret)
{
    int r = clock_gettime(id, ret);
    int64_t msec = (int64_t)ret->tv_sec * 1000 + ret->tv_nsec / 1000000 + clock_offset_msec;

    ret->tv_sec = (time_t)(msec / 1000);
    ret->tv_nsec = msec % 1000 * 1000000 + ret->tv_nsec % 1000000;
    return r;
}

/* The shim links no library, so this test includes its file. Its messages do not reach the syslog
 * of this machine. */
#undef NAMES_REFUSED_FILE
#define NAMES_REFUSED_FILE "refused"
#define sendto fake_sendto
#define clock_gettime fake_clock
#include "request-key-shim/report.c"
#undef clock_gettime
#undef sendto

typedef struct Place {
    char directory[32];
} Place;

static void leave(Place *p)
{
    (void)unlink(NAMES_REFUSED_FILE);
    (void)unlink("target");
    if (chdir("/") < 0)
        abort();
    (void)rmdir(p->directory);
}

static bool enter(Place *p)
{
    *p = (Place){"/tmp/test-shim-report.XXXXXX"};
    messages = 0;
    clock_offset_msec = 0;
    return mkdtemp(p->directory) && chdir(p->directory) == 0;
}

TEST(text)
{
    char expected[100];

    messages = 0;
    report(LOG_ERR, "%s: %d", "nothing", 7);
    (void)snprintf(expected, sizeof(expected), "<27>request-key-shim[%d]: nothing: 7", getpid());
    ASSERT_STR(message, expected);
    ASSERT_EQ(messages, 1);
    ASSERT_TRUE(!socket_waits);
    ASSERT_TRUE(message_flags & MSG_NOSIGNAL);
}

TEST(long_text)
{
    char words[600];
    int fd = dup(0);

    close(fd);
    memset(words, 'x', sizeof(words));
    words[sizeof(words) - 1] = '\0';
    report(LOG_ERR, "%s", words);
    ASSERT_TRUE(message_size <= 200 && message_size > 150);
    ASSERT_EQ(strlen(message), message_size);
    for (size_t n = 100; n < 300; n++) {
        words[n] = '\0';
        report(LOG_ERR, "%s", words);
        ASSERT_TRUE(message_size <= 200 && strlen(message) == message_size);
        words[n] = 'x';
    }
    ASSERT_EQ(dup(0), fd);
    close(fd);
}

TEST(refusal)
{
    char expected[100];
    _cleanup_(leave) Place p;

    ASSERT_TRUE(enter(&p));
    report_refusal(4294967294u);
    ASSERT_EQ(messages, 1);
    (void)snprintf(expected, sizeof(expected),
                   "<28>request-key-shim[%d]: request by uid 4294967294 refused", getpid());
    ASSERT_STR(message, expected);
}

TEST(refusals)
{
    struct stat st;
    _cleanup_(leave) Place p;

    ASSERT_TRUE(enter(&p));
    for (unsigned i = 0; i < 100; i++)
        report_refusal(i);
    ASSERT_TRUE(messages >= 1 && messages <= 3);
    messages = 0;
    clock_offset_msec = 150;
    report_refusal(1);
    ASSERT_EQ(messages, 1);
    ASSERT_OK(stat(NAMES_REFUSED_FILE, &st));
    ASSERT_EQ(st.st_size, 1);
    ASSERT_EQ(st.st_mode & 0777, 0600);
}

/* A clock that was set back must not silence the shim. */
TEST(clock_set)
{
    _cleanup_(leave) Place p;

    ASSERT_TRUE(enter(&p));
    report_refusal(1);
    clock_offset_msec = -60000;
    report_refusal(1);
    ASSERT_EQ(messages, 2);
    clock_offset_msec = 60000;
    report_refusal(1);
    ASSERT_EQ(messages, 3);
}

TEST(no_directory)
{
    _cleanup_(leave) Place p;

    ASSERT_TRUE(enter(&p));
    ASSERT_OK(rmdir(p.directory));
    report_refusal(1);
    ASSERT_EQ(messages, 1);
}

TEST(symlink)
{
    _cleanup_(leave) Place p;

    ASSERT_TRUE(enter(&p));
    ASSERT_OK(symlink("target", NAMES_REFUSED_FILE));
    report_refusal(1);
    ASSERT_EQ(messages, 1);
    ASSERT_EQ(access("target", F_OK), -1);
}
