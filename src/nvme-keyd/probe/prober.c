/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/io.h"
#include "nvme-keyd/probe/limits.h"
#include "nvme-keyd/probe/prober.h"

/*
 * A probe waits in the queue, runs, and is over:
 *   waiting: in the list, without a socket
 *   running: in the list, with a socket. It ends when the helper has closed its end, not by the
 *            reply: only then does the service manager count one connection less.
 *   over:    in no list; only its owner has it
 */

struct Probe {
    Prober *prober; /* NULL when it is over */
    Probe *next, **link;
    ProbeTarget target;
    char *identity;
    Secret *psk; /* until the helper has it */
    bool as_sha256;
    sd_event_source *io;
    sd_event_source *timer; /* the deadline; or makes the result of a probe that failed to start */
    bool is_running;
    ProbeReply reply; /* magic is 0 until it has come */
    ProbeHandler handler;
    void *userdata;
};

struct Prober {
    sd_event *event;
    const char *path;
    sd_event_source *pump; /* starts probes of the queue */
    Probe *probes;         /* the oldest first */
    Probe **end;
    size_t n;
    size_t n_running;
};

static void request_pump(const Prober *p)
{
    (void)sd_event_source_set_enabled(p->pump, SD_EVENT_ONESHOT);
}

/* Makes a probe be over, if it is not. */
static void detach(Probe *probe)
{
    Prober *p = probe->prober;

    if (!p)
        return;
    if (probe->is_running)
        p->n_running--;
    p->n--;
    *probe->link = probe->next;
    if (probe->next)
        probe->next->link = probe->link;
    else
        p->end = probe->link;
    probe->prober = NULL;
    probe->io = sd_event_source_disable_unref(probe->io); /* also closes the socket */
    probe->timer = sd_event_source_disable_unref(probe->timer);
    probe->psk = secret_free(probe->psk);
    request_pump(p);
}

Probe *probe_free(Probe *probe)
{
    if (!probe)
        return NULL;
    detach(probe);
    sd_event_source_disable_unref(probe->timer);
    secret_free(probe->psk);
    free(probe->identity);
    free(probe);
    return NULL;
}

/* Nothing may follow this, because the handler may free the probe. */
static void finish(Probe *probe, ProbeAnswer answer, const char *detail)
{
    ProbeHandler handler = probe->handler;
    void *userdata = probe->userdata;
    char copy[PROBE_DETAIL_MAX + 1];

    (void)snprintf(copy, sizeof(copy), "%s", detail);
    detach(probe);
    handler(answer, copy, userdata);
}

static void finish_with_reply(Probe *probe, const char *otherwise)
{
    if (probe->reply.magic)
        finish(probe, (ProbeAnswer)probe->reply.answer, probe->reply.detail);
    else
        finish(probe, PROBE_UNAVAILABLE, otherwise);
}

static int on_packet(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                     void *userdata)
{
    Probe *probe = userdata;
    ProbeReply reply;
    ssize_t n = recv(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        finish_with_reply(probe, "the helper ended without an answer: see journalctl -u "
                                 "'nvme-keyd-probe@*'");
    else if (probe->reply.magic || probe_reply_check(&reply, (size_t)n) < 0)
        finish(probe, PROBE_UNAVAILABLE, "the helper gave an answer of another form");
    else
        probe->reply = reply;
    return 0;
}

static int on_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    finish_with_reply(userdata, "the helper has not answered in time");
    return 0;
}

static int send_request(const Probe *probe, int fd)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    int r = probe_request_new(&probe->target, probe->identity, probe->psk->data, probe->psk->size,
                              probe->as_sha256, &request);

    if (r < 0)
        return r;
    return send(fd, request->data, request->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int connect_helper(Probe *probe)
{
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int r;

    if (fd < 0)
        return -errno;
    if (strlen(probe->prober->path) >= sizeof(a.sun_path))
        return -ENAMETOOLONG;
    strcpy(a.sun_path, probe->prober->path);
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
        return -errno;
    r = send_request(probe, fd);
    if (r < 0)
        return r;
    r = sd_event_add_io(probe->prober->event, &probe->io, fd, EPOLLIN, on_packet, probe);
    if (r < 0)
        return r;
    (void)sd_event_source_set_io_fd_own(probe->io, true);
    (void)TAKE_FD(fd);
    return 0;
}

static void set_failure(Probe *probe, int error)
{
    char detail[PROBE_DETAIL_MAX + 1];

    (void)snprintf(detail, sizeof(detail), "cannot reach the helper at %.108s (%s)%s",
                   probe->prober->path, strerror(-error),
                   error == -ENOENT || error == -ECONNREFUSED
                       ? ": run systemctl start nvme-keyd-probe.socket"
                       : "");
    probe_reply_set(&probe->reply, PROBE_UNAVAILABLE, detail);
}

/* A failure is told by the timer, because nothing here may free a probe. */
static void run(Probe *probe)
{
    int r = connect_helper(probe);

    probe->prober->n_running++;
    probe->is_running = true;
    probe->psk = secret_free(probe->psk);
    if (r < 0)
        set_failure(probe, r);
    (void)sd_event_source_set_time_relative(probe->timer, r < 0 ? 0 : PROBE_DEADLINE_USEC);
    (void)sd_event_source_set_enabled(probe->timer, SD_EVENT_ONESHOT);
}

static int on_pump(_unused_ sd_event_source *source, void *userdata)
{
    const Prober *p = userdata;

    for (Probe *probe = p->probes; probe && p->n_running < PROBES_AT_ONCE; probe = probe->next)
        if (!probe->is_running)
            run(probe);
    return 0;
}

int prober_new(sd_event *event, const char *path, Prober **ret)
{
    _cleanup_(prober_freep) Prober *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->event = sd_event_ref(event);
    p->path = path;
    p->end = &p->probes;
    r = sd_event_add_defer(event, &p->pump, on_pump, p);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(p->pump, SD_EVENT_OFF);
    *ret = TAKE_PTR(p);
    return 0;
}

Prober *prober_free(Prober *p)
{
    if (!p)
        return NULL;
    while (p->probes)
        finish(p->probes, PROBE_UNAVAILABLE, "the service ends");
    sd_event_source_disable_unref(p->pump);
    sd_event_unref(p->event);
    free(p);
    return NULL;
}

static void enqueue(Prober *p, Probe *probe)
{
    probe->prober = p;
    probe->link = p->end;
    *p->end = probe;
    p->end = &probe->next;
    p->n++;
    request_pump(p);
}

int probe_start(Prober *p, const ProbeTarget *target, const char *identity, const uint8_t *psk,
                size_t size, bool as_sha256, ProbeHandler handler, void *userdata, Probe **ret)
{
    _cleanup_(secret_freep) Secret *request = NULL;
    _cleanup_(probe_freep) Probe *probe = NULL;
    int r;

    if (p->n >= PROBES_MAX)
        return -ENOBUFS;
    r = probe_request_new(target, identity, psk, size, as_sha256, &request);
    if (r < 0)
        return r;
    probe = calloc(1, sizeof(*probe));
    if (!probe || !(probe->identity = strdup(identity)) ||
        !(probe->psk = secret_new_copy(psk, size)))
        return -ENOMEM;
    r = sd_event_add_time(p->event, &probe->timer, CLOCK_MONOTONIC, 0, 0, on_timeout, probe);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(probe->timer, SD_EVENT_OFF);
    probe->target = *target;
    probe->as_sha256 = as_sha256;
    probe->handler = handler;
    probe->userdata = userdata;
    enqueue(p, probe);
    *ret = TAKE_PTR(probe);
    return 0;
}
