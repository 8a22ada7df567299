/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "basic/log.h"
#include "basic/names.h"

static struct {
    const char *name;
    int max_level;
    bool to_journal;
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

/* systemd names device and inode of the stream it connected; a later redirection tells. */
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

static void add_field(struct iovec *iov, int *n, char *buffer, size_t size, const char *field,
                      const char *value)
{
    int length = value ? snprintf(buffer, size, "%s=%s", field, value) : -1;

    if (length >= 0)
        iov[(*n)++] = (struct iovec){buffer, (size_t)length < size ? (size_t)length : size - 1};
}

static void send_to_journal(int level, const LogFields *f, const char *message)
{
    char buffers[6][1280], priority[2] = {(char)('0' + level), '\0'};
    struct iovec iov[ARRAY_SIZE(buffers)];
    int n = 0;

    add_field(iov, &n, buffers[0], sizeof(buffers[0]), "MESSAGE", message);
    add_field(iov, &n, buffers[1], sizeof(buffers[1]), "PRIORITY", priority);
    add_field(iov, &n, buffers[2], sizeof(buffers[2]), "MESSAGE_ID", f->message_id);
    add_field(iov, &n, buffers[3], sizeof(buffers[3]), NAMES_FIELD_HOSTNQN, f->hostnqn);
    add_field(iov, &n, buffers[4], sizeof(buffers[4]), NAMES_FIELD_SUBSYSNQN, f->subsysnqn);
    add_field(iov, &n, buffers[5], sizeof(buffers[5]), NAMES_FIELD_KEY_ID, f->key_id);
    (void)sd_journal_sendv(iov, n);
}

int log_full(int level, int error, const LogFields *fields, const char *format, ...)
{
    static const LogFields none = {NULL, NULL, NULL, NULL};
    char message[1024];
    va_list ap;
    int n;

    if (level > log_target.max_level)
        return error;

    va_start(ap, format);
    n = vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    if (error < 0 && n >= 0 && (size_t)n < sizeof(message))
        (void)snprintf(message + n, sizeof(message) - (size_t)n, ": %s", strerror(-error));

    if (log_target.to_journal)
        send_to_journal(level, fields ? fields : &none, message);
    else
        (void)fprintf(stderr, "%s%s%s\n", log_target.name ? log_target.name : "",
                      log_target.name ? ": " : "", message);
    return error;
}
