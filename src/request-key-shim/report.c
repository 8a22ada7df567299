/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#include "basic/macro.h"
#include "basic/names.h"
#include "request-key-shim/report.h"

#define NSEC_PER_SEC 1000000000ll
#define REFUSAL_INTERVAL_NSEC (NSEC_PER_SEC / 10)

void report(int level, const char *format, ...)
{
    const struct sockaddr_un address = {AF_UNIX, "/dev/log"};
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char text[200];
    va_list ap;
    int n, m;

    n = snprintf(text, sizeof(text), "<%d>request-key-shim[%d]: ", LOG_DAEMON | level, getpid());
    va_start(ap, format);
    m = vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
    va_end(ap);
    if (fd < 0 || m < 0)
        return;
    n = n + m < (int)sizeof(text) ? n + m : (int)sizeof(text) - 1;
    (void)sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 sizeof(address));
}

static int64_t nsec(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}

/* The mtime of a file has the last time. Without its directory there is no daemon either. */
static bool refusal_is_due(void)
{
    _cleanup_(closep) int fd =
        open(NAMES_REFUSED_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct timespec now;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    /* A new file is empty. A time in the future is left from before the clock was set back. */
    if (st.st_size > 0 && nsec(&now) >= nsec(&st.st_mtim) &&
        nsec(&now) - nsec(&st.st_mtim) < REFUSAL_INTERVAL_NSEC)
        return false;
    return pwrite(fd, "\n", 1, 0) == 1;
}

void report_refusal(uid_t uid)
{
    if (refusal_is_due())
        report(LOG_WARNING, "request by uid %u refused", (unsigned)uid);
}
