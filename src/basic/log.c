/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/journal.h"
#include "basic/log.h"
#include "basic/names.h"

#define LOG_LINE_MAX 1024

static struct {
    const char *name;
    int max_level;
    bool to_journal;
    uint64_t dropped;  /* lines */
    uint64_t reported; /* of dropped, reported by a line in the log */
} log_target = {.max_level = LOG_INFO};

static int level_from_string(const char *s)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};

    for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
        if (strcmp(s, names[i]) == 0 || (s[0] == '0' + i && s[1] == '\0'))
            return i;
    return LOG_INFO;
}

/* JOURNAL_STREAM names device and inode of the stream; they differ after a redirection. */
static bool stderr_is_journal(void)
{
    const char *e = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return e && sscanf(e, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void log_setup(const char *name)
{
    const char *e = getenv(NAMES_ENV_LOG_LEVEL);

    log_target.name = name;
    log_target.max_level = e ? level_from_string(e) : LOG_INFO;
    log_target.to_journal = stderr_is_journal();
}

bool log_goes_to_journal(void)
{
    return log_target.to_journal;
}

static bool send_to_journal(int level, const LogFields *f, const char *message)
{
    const char priority[] = {(char)('0' + level), '\0'};
    const JournalField fields[] = {
        {"MESSAGE", message},
        {"PRIORITY", priority},
        {"SYSLOG_IDENTIFIER", log_target.name},
        {"MESSAGE_ID", f->message_id},
        {NAMES_FIELD_HOSTNQN, f->hostnqn},
        {NAMES_FIELD_SUBSYSNQN, f->subsysnqn},
        {NAMES_FIELD_KEY_ID, f->key_id},
        {NAMES_FIELD_CAUSE, f->cause},
    };

    return journal_send(fields, ARRAY_SIZE(fields)) == 0;
}

/* O_NONBLOCK would affect every process that shares the open file. send(2) has a flag instead; a
 * pipe that is ready takes PIPE_BUF bytes, and a line is shorter. */
static bool send_to_stderr(const char *message)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    char line[LOG_LINE_MAX + 64];
    ssize_t r;
    int n = snprintf(line, sizeof(line), "%s%s%s\n", log_target.name ? log_target.name : "",
                     log_target.name ? ": " : "", message);

    if (n < 0)
        return false;
    if ((size_t)n >= sizeof(line))
        n = sizeof(line) - 1;
    r = send(STDERR_FILENO, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (r < 0 && errno == ENOTSOCK) {
        if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT) || p.revents & (POLLERR | POLLNVAL))
            return false;
        r = write(STDERR_FILENO, line, (size_t)n);
    }
    return r == n;
}

static bool send_line(int level, const LogFields *fields, const char *message)
{
    static const LogFields none = {.message_id = NULL};

    return log_target.to_journal ? send_to_journal(level, fields ? fields : &none, message)
                                 : send_to_stderr(message);
}

uint64_t log_dropped(void)
{
    return log_target.dropped;
}

bool log_has_gap(void)
{
    return log_target.dropped != log_target.reported;
}

bool log_report_dropped(void)
{
    static const LogFields fields = {.message_id = MESSAGE_LOG_DROPPED};
    char message[128];

    if (!log_has_gap())
        return true;
    (void)snprintf(message, sizeof(message),
                   "%ju log lines were dropped: the reader of the log did not keep up",
                   (uintmax_t)(log_target.dropped - log_target.reported));
    if (!send_line(LOG_WARNING, &fields, message))
        return false;
    log_target.reported = log_target.dropped;
    return true;
}

int log_full(int level, int error, const LogFields *fields, const char *format, ...)
{
    int saved_errno = errno;
    char message[LOG_LINE_MAX];
    va_list ap;
    int n;

    if (level > log_target.max_level)
        return error;

    va_start(ap, format);
    n = vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    if (error < 0 && n >= 0 && (size_t)n < sizeof(message))
        (void)snprintf(message + n, sizeof(message) - (size_t)n, ": %s", strerror(-error));

    /* A gap is reported at its place, before later lines. */
    if (!log_report_dropped() || !send_line(level, fields, message))
        log_target.dropped++;
    errno = saved_errno;
    return error;
}
