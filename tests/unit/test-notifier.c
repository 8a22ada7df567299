/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyd/notifier.h"
#include "test.h"

/* A service manager that reads only on demand. */
typedef struct Place {
    int fd;
    sd_event *event;
    Notifier *n;
    struct sockaddr_un address;
    socklen_t size;
    char text[16384]; /* the last reading, with a line between two datagrams */
    int datagrams;
} Place;

static void leave(Place *p)
{
    notifier_free(p->n);
    sd_event_unref(p->event);
    if (p->fd >= 0)
        close(p->fd);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
}

/* On an abstract address. */
static bool enter(Place *p)
{
    char name[64];

    p->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(name, sizeof(name), "@nvme-keyd-test-%d", getpid());
    strcpy(p->address.sun_path, name);
    p->address.sun_path[0] = '\0';
    p->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    p->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return p->fd >= 0 && bind(p->fd, (const struct sockaddr *)&p->address, p->size) == 0 &&
           setenv("NOTIFY_SOCKET", name, 1) == 0 && sd_event_new(&p->event) >= 0 &&
           notifier_new(p->event, &p->n) == 0;
}

/* Fills the queue. One socket may send only so much, so this takes several. */
static bool stall(const Place *p)
{
    bool sent = true;

    for (int i = 0; i < 1000 && sent; i++) {
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        sent = false;
        while (sendto(fd, "X_FILL=1", 8, 0, (const struct sockaddr *)&p->address, p->size) > 0)
            sent = true;
    }
    return !sent && errno == EAGAIN;
}

/* Reads everything that has arrived. */
static const char *heard(Place *p)
{
    size_t have = 0;
    ssize_t n;

    p->datagrams = 0;
    while ((n = recv(p->fd, p->text + have, sizeof(p->text) - have - 1, MSG_DONTWAIT)) >= 0) {
        if (n == 8 && memcmp(p->text + have, "X_FILL=1", 8) == 0)
            continue;
        have += (size_t)n;
        p->text[have++] = '|';
        p->datagrams++;
    }
    p->text[have] = '\0';
    return p->text;
}

/* Runs the loop until a datagram arrives, for 20 s at most. */
static const char *hear_later(Place *p)
{
    uint64_t end = now_monotonic() + 20 * USEC_PER_SEC;

    while (now_monotonic() < end && sd_event_run(p->event, USEC_PER_SEC / 10) >= 0)
        if (*heard(p))
            break;
    return p->text;
}

TEST(states)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};

    ASSERT_TRUE(enter(&p));
    notifier_ready(p.n);
    ASSERT_STR(heard(&p), "READY=1|");
    notifier_reloading(p.n);
    ASSERT_EQ(strncmp(heard(&p), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    notifier_ready(p.n);
    notifier_extend(p.n, 7);
    notifier_stopping(p.n);
    ASSERT_STR(heard(&p), "READY=1|EXTEND_TIMEOUT_USEC=7|STOPPING=1|");
    ASSERT_TRUE(!notifier_is_behind(p.n));
}

TEST(status_changes)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};

    ASSERT_TRUE(enter(&p));
    for (int i = 0; i < 1000; i++)
        notifier_status(p.n, "1 keys");
    ASSERT_STR(heard(&p), "STATUS=1 keys|");
    notifier_status(p.n, "2 keys");
    ASSERT_STR(heard(&p), "STATUS=2 keys|");
}

/* While the queue is full, no call waits, and no state that still matters is lost. */
TEST(full)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};

    ASSERT_TRUE(enter(&p) && stall(&p));
    for (int i = 0; i < 1000; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%d keys", i);
        notifier_status(p.n, text);
    }
    notifier_ready(p.n);
    ASSERT_TRUE(notifier_is_behind(p.n));
    ASSERT_STR(heard(&p), "");
    ASSERT_STR(hear_later(&p), "READY=1\nSTATUS=999 keys|");
    ASSERT_TRUE(!notifier_is_behind(p.n));

    /* In their order. */
    ASSERT_TRUE(stall(&p));
    notifier_reloading(p.n);
    notifier_ready(p.n);
    ASSERT_STR(heard(&p), "");
    ASSERT_EQ(strncmp(hear_later(&p), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    ASSERT_TRUE(strstr(p.text, "|READY=1|"));
    ASSERT_EQ(p.datagrams, 2);

    ASSERT_TRUE(stall(&p));
    notifier_reloading(p.n);
    notifier_stopping(p.n);
    (void)heard(&p);
    ASSERT_STR(hear_later(&p), "STOPPING=1|");
}

TEST(watchdog)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};

    ASSERT_OK(setenv("WATCHDOG_USEC", "200000", 1));
    ASSERT_TRUE(enter(&p));
    ASSERT_STR(hear_later(&p), "WATCHDOG=1|");
    ASSERT_STR(hear_later(&p), "WATCHDOG=1|");
    /* A queue that was full for a while. */
    ASSERT_TRUE(stall(&p));
    for (int i = 0; i < 5; i++)
        ASSERT_TRUE(sd_event_run(p.event, USEC_PER_SEC) >= 0);
    ASSERT_STR(heard(&p), "");
    ASSERT_STR(hear_later(&p), "WATCHDOG=1|");
}

/* True if the loop has no event pending and none planned. */
static bool is_idle(const Place *p)
{
    return sd_event_run(p->event, USEC_PER_SEC / 2) == 0;
}

/* If the reader is gone, its messages are given up and do not keep the daemon running. */
TEST(no_reader)
{
    static const char *const paths[] = {NULL, "/nonexistent/notify", "/dev/null"};
    _cleanup_(leave) Place p = {.fd = -EBADF};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        ASSERT_TRUE(enter(&p));
        if (paths[i]) {
            ASSERT_OK(setenv("NOTIFY_SOCKET", paths[i], 1));
            p.n = notifier_free(p.n);
            ASSERT_OK(notifier_new(p.event, &p.n));
        }
        close(p.fd);
        p.fd = -EBADF;
        notifier_status(p.n, "x");
        notifier_ready(p.n);
        notifier_reloading(p.n);
        notifier_ready(p.n);
        notifier_stopping(p.n);
        ASSERT_TRUE(!notifier_is_behind(p.n));
        ASSERT_TRUE(is_idle(&p));
        leave(&p);
        p = (Place){.fd = -EBADF};
    }
}

/* The reader goes away while its queue is full, and another one takes its place. */
TEST(lost_reader)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};

    ASSERT_TRUE(enter(&p) && stall(&p));
    notifier_ready(p.n);
    ASSERT_TRUE(notifier_is_behind(p.n));
    close(p.fd);
    for (int i = 0; i < 10 && notifier_is_behind(p.n); i++)
        ASSERT_TRUE(sd_event_run(p.event, USEC_PER_SEC) >= 0);
    ASSERT_TRUE(!notifier_is_behind(p.n));
    ASSERT_TRUE(is_idle(&p));
    p.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ASSERT_OK(bind(p.fd, (const struct sockaddr *)&p.address, p.size));
    notifier_stopping(p.n);
    ASSERT_STR(heard(&p), "STOPPING=1|");
}

/* A lack of file descriptors in the daemon is temporary. */
TEST(no_descriptor)
{
    _cleanup_(leave) Place p = {.fd = -EBADF};
    struct rlimit limit, none;

    ASSERT_TRUE(enter(&p));
    ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    none = (struct rlimit){0, limit.rlim_max};
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
    notifier_ready(p.n);
    ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    ASSERT_TRUE(notifier_is_behind(p.n));
    ASSERT_STR(hear_later(&p), "READY=1|");
}

/* Without a service manager, or with an impossible address, nothing happens. */
TEST(nobody)
{
    static const char *const addresses[] = {NULL, "", "@", "relative", "vsock:2:1234"};

    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        _cleanup_(notifier_freep) Notifier *n = NULL;
        sd_event *event = NULL;

        if (addresses[i])
            ASSERT_OK(setenv("NOTIFY_SOCKET", addresses[i], 1));
        ASSERT_TRUE(sd_event_new(&event) >= 0);
        ASSERT_OK(notifier_new(event, &n));
        notifier_ready(n);
        notifier_status(n, "x");
        ASSERT_TRUE(!notifier_is_behind(n));
        n = notifier_free(n);
        sd_event_unref(event);
    }
    (void)unsetenv("NOTIFY_SOCKET");
}
