/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "basic/limits.h"
#include "basic/macro.h"
#include "basic/names.h"
#include "nvme-keyd/upcall/limits.h"
#include "request-key-shim/ask.h"

/* MAX_ERRNO of the kernel. */
#define ERRNO_END 4095

static uint64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* Bounds connect(2), which waits while the backlog is full, send(2) and recv(2). */
static int set_timeout(int fd, int option, uint64_t deadline_usec)
{
    uint64_t t = now_usec(), left = t < deadline_usec ? deadline_usec - t : 0;
    const struct timeval tv = {(time_t)(left / USEC_PER_SEC), (suseconds_t)(left % USEC_PER_SEC)};

    if (left == 0)
        return -ETIMEDOUT;
    return setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

/* EAGAIN and EINPROGRESS are timeouts of a blocking socket. */
static int socket_error(int e)
{
    return e == EAGAIN || e == EINPROGRESS ? -ETIMEDOUT : -e;
}

static int send_request(int fd, const ShimArguments *a)
{
    UpcallRequest q = {.magic = UPCALL_MAGIC};
    size_t length = strlen(a->description), callout = strlen(a->callout);
    size_t size = offsetof(UpcallRequest, text) + length;

    memcpy(q.type, a->type, strlen(a->type));
    memcpy(q.text, a->description, length);
    memcpy(q.text + length + 1, a->callout, callout);
    if (callout > 0)
        size += 1 + callout;
    return send(fd, &q, size, MSG_NOSIGNAL) < 0 ? socket_error(errno) : 0;
}

static int receive_reply(int fd, UpcallReply *ret)
{
    /* MSG_TRUNC returns the full size of a packet that is too long. */
    ssize_t n = recv(fd, ret, sizeof(*ret), MSG_TRUNC);

    if (n < 0)
        return socket_error(errno);
    if (n == 0)
        return -ECONNRESET;
    if (n != (ssize_t)sizeof(*ret) || ret->magic != UPCALL_MAGIC ||
        ret->size > sizeof(ret->payload) || ret->error >= ERRNO_END)
        return -EBADMSG;
    return 0;
}

static int ask_once(const ShimArguments *a, uint64_t deadline_usec, UpcallReply *ret)
{
    const struct sockaddr_un address = {AF_UNIX, NAMES_REQUEST_SOCKET};
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = set_timeout(fd, SO_SNDTIMEO, deadline_usec);
    if (r < 0)
        return r;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return socket_error(errno);
    if ((r = send_request(fd, a)) < 0 || (r = set_timeout(fd, SO_RCVTIMEO, deadline_usec)) < 0)
        return r;
    return receive_reply(fd, ret);
}

int ask_daemon(const ShimArguments *a, UpcallReply *ret)
{
    uint64_t deadline = now_usec() + UPCALL_DEADLINE_USEC;
    int r = ask_once(a, deadline, ret);

    /* The daemon ended with our request. systemd holds its socket, which starts it again. */
    return r == -ECONNRESET || r == -EPIPE ? ask_once(a, deadline, ret) : r;
}
