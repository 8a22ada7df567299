/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyd/notifier.h"

/* Pause before a full socket is tried again; it doubles. */
#define RETRY_USEC (USEC_PER_SEC / 10)
#define RETRY_MAX_USEC (2 * USEC_PER_SEC)

#define STATUS_MAX 128

struct Notifier {
    struct sockaddr_un address;
    socklen_t address_size; /* 0: no NOTIFY_SOCKET */
    sd_event_source *retry;
    sd_event_source *feed;
    uint64_t retry_usec;
    uint64_t feed_usec; /* 0: no watchdog */

    bool reloading, ready, stopping; /* still to be sent, in this order */
    uint64_t reloading_usec;         /* CLOCK_MONOTONIC, when the reload began */
    bool alive;
    uint64_t extend_usec;
    char status[STATUS_MAX], sent_status[STATUS_MAX];
};

Notifier *notifier_free(Notifier *n)
{
    if (!n)
        return NULL;
    sd_event_source_disable_unref(n->retry);
    sd_event_source_disable_unref(n->feed);
    free(n);
    return NULL;
}

/* Takes a path, or "@" and an abstract name. Other addresses belong to service managers of other
 * machines. */
static socklen_t parse_address(const char *s, struct sockaddr_un *ret)
{
    size_t n = s ? strlen(s) : 0;

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n < 2 || n >= sizeof(ret->sun_path) || (s[0] != '/' && s[0] != '@'))
        return 0;
    memcpy(ret->sun_path, s, n);
    if (s[0] == '/')
        return sizeof(*ret);
    ret->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static int send_text(const Notifier *n, const char *text)
{
    /* Opened for each message, as in journal_send(). */
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                         (const struct sockaddr *)&n->address, n->address_size) < 0)
        return -errno;
    return 0;
}

static void append(char *text, size_t size, const char *format, ...) _printf_(3, 4);
static void append(char *text, size_t size, const char *format, ...)
{
    size_t n = strlen(text);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text + n, size - n, format, ap);
    va_end(ap);
}

/* A full queue or a shortage of resources passes. A reader that is gone does not come back, and
 * waiting for it would prevent the idle exit. */
static bool is_transient(int error)
{
    return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM || error == -EMFILE ||
           error == -ENFILE;
}

/* Sends one datagram: the next state and everything else that is due. Returns false if it has to be
 * sent again. */
static bool send_next(Notifier *n)
{
    bool reloading = n->reloading, ready = !reloading && n->ready;
    bool stopping = !reloading && !ready && n->stopping;
    bool status = strcmp(n->status, n->sent_status) != 0;
    char text[STATUS_MAX + 256] = "";

    if (reloading)
        append(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", n->reloading_usec);
    if (ready)
        append(text, sizeof(text), "READY=1\n");
    if (stopping)
        append(text, sizeof(text), "STOPPING=1\n");
    if (status)
        append(text, sizeof(text), "STATUS=%s\n", n->status);
    if (n->extend_usec > 0)
        append(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n", n->extend_usec);
    if (n->alive)
        append(text, sizeof(text), "WATCHDOG=1\n");
    if (text[0] == '\0')
        return true;
    text[strlen(text) - 1] = '\0';
    if (is_transient(send_text(n, text)))
        return false;

    if (reloading)
        n->reloading = false;
    else if (ready)
        n->ready = false;
    else
        n->stopping = false;
    strcpy(n->sent_status, n->status);
    n->extend_usec = 0;
    n->alive = false;
    return true;
}

static void flush(Notifier *n)
{
    bool sent;

    if (n->address_size == 0)
        return;
    do
        sent = send_next(n);
    while (sent && notifier_is_behind(n));
    if (sent) {
        n->retry_usec = RETRY_USEC;
        (void)sd_event_source_set_enabled(n->retry, SD_EVENT_OFF);
        return;
    }
    if (sd_event_source_set_time_relative(n->retry, n->retry_usec) >= 0)
        (void)sd_event_source_set_enabled(n->retry, SD_EVENT_ONESHOT);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Notifier *n = userdata;

    n->retry_usec = CONST_MIN(2 * n->retry_usec, RETRY_MAX_USEC);
    flush(n);
    return 0;
}

static int on_feed(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Notifier *n = userdata;
    int r = sd_event_source_set_time_relative(source, n->feed_usec);

    n->alive = true;
    flush(n);
    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int notifier_new(sd_event *event, Notifier **ret)
{
    _cleanup_(notifier_freep) Notifier *n = calloc(1, sizeof(*n));
    uint64_t watchdog_usec = 0;
    int r;

    if (!n)
        return -ENOMEM;
    n->address_size = parse_address(getenv("NOTIFY_SOCKET"), &n->address);
    n->retry_usec = RETRY_USEC;
    r = sd_event_add_time_relative(event, &n->retry, CLOCK_MONOTONIC, 0, 0, on_retry, n);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(n->retry, SD_EVENT_OFF);
    /* sd_watchdog_enabled(3) recommends half of the interval; an invalid value means no watchdog.
     */
    if (n->address_size > 0 && sd_watchdog_enabled(0, &watchdog_usec) > 0 && watchdog_usec > 1) {
        n->feed_usec = watchdog_usec / 2;
        r = sd_event_add_time_relative(event, &n->feed, CLOCK_MONOTONIC, 0, n->feed_usec / 4,
                                       on_feed, n);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(n);
    return 0;
}

void notifier_ready(Notifier *n)
{
    n->ready = true;
    flush(n);
}

void notifier_reloading(Notifier *n)
{
    /* If the last READY=1 is still unsent, the next one covers both. */
    if (!n->ready)
        n->reloading = true;
    n->reloading_usec = now_monotonic();
    flush(n);
}

void notifier_stopping(Notifier *n)
{
    n->reloading = n->ready = false;
    n->stopping = true;
    flush(n);
}

void notifier_status(Notifier *n, const char *text)
{
    (void)snprintf(n->status, sizeof(n->status), "%s", text);
    if (strcmp(n->status, n->sent_status) != 0)
        flush(n);
}

void notifier_extend(Notifier *n, uint64_t usec)
{
    n->extend_usec = usec;
    flush(n);
}

bool notifier_is_behind(const Notifier *n)
{
    return n->address_size > 0 && (n->reloading || n->ready || n->stopping);
}
