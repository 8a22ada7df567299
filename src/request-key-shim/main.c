/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <keyutils.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "basic/names.h"
#include "request-key-shim/arguments.h"
#include "request-key-shim/upcall-protocol.h"

static uint64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* Bounds connect(2) (a full backlog), send(2) and recv(2) by what is left of our time. */
static int set_timeout(int fd, int option, uint64_t deadline_usec)
{
    uint64_t t = now_usec(), left = t < deadline_usec ? deadline_usec - t : 0;
    const struct timeval tv = {(time_t)(left / USEC_PER_SEC), (suseconds_t)(left % USEC_PER_SEC)};

    if (left == 0)
        return -ETIMEDOUT;
    return setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv)) < 0 ? -errno : 0;
}

static int send_request(int fd, const ShimArguments *a)
{
    UpcallRequest q = {.magic = UPCALL_MAGIC};
    size_t length = strlen(a->description);
    size_t size = offsetof(UpcallRequest, description) + length;

    memcpy(q.type, a->type, strlen(a->type));
    memcpy(q.description, a->description, length);
    return send(fd, &q, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -errno;
}

static int receive_reply(int fd, UpcallReply *ret)
{
    ssize_t n = recv(fd, ret, sizeof(*ret), 0);

    if (n < 0)
        return -errno;
    if (n != (ssize_t)sizeof(*ret) || ret->magic != UPCALL_MAGIC ||
        ret->size > sizeof(ret->payload))
        return -EBADMSG;
    return 0;
}

static int ask(const ShimArguments *a, UpcallReply *ret)
{
    const struct sockaddr_un address = {AF_UNIX, NAMES_REQUEST_SOCKET};
    uint64_t deadline = now_usec() + UPCALL_DEADLINE_USEC;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = set_timeout(fd, SO_SNDTIMEO, deadline);
    if (r == 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        r = -errno;
    if (r == 0)
        r = send_request(fd, a);
    if (r == 0)
        r = set_timeout(fd, SO_RCVTIMEO, deadline);
    if (r == 0)
        r = receive_reply(fd, ret);
    close(fd);
    return r;
}

/* The kernel starts us with nowhere to write to, so what an administrator should know goes to
 * syslog; whether a key exists is not for the requester to learn, and not said here. */
static int reject(int32_t key, unsigned timeout_sec, unsigned error)
{
    return keyctl_reject(key, timeout_sec, error, 0) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    /* Static, so that it is locked before it is filled. */
    static UpcallReply reply;
    ShimArguments a;
    int r;

    r = shim_arguments_parse(argc, argv, &a);
    openlog("request-key-shim", LOG_PID, LOG_DAEMON);
    if (a.key == 0) {
        syslog(LOG_ERR, "usage: request-key-shim KEY UID TYPE DESCRIPTION (by request-key(8))");
        return EXIT_FAILURE;
    }
    /* Only then may we read or instantiate the key under construction. */
    if (keyctl_assume_authority(a.key) < 0) {
        syslog(LOG_ERR, "no request for key %d is under way", a.key);
        return EXIT_FAILURE;
    }
    if (r < 0)
        return reject(a.key, UPCALL_NEGATIVE_TIMEOUT_SEC, EINVAL);
    /* Anyone may call request_key(2), and the key would be linked into the keyring of whoever did.
     */
    if (a.uid != 0) {
        syslog(LOG_WARNING, "request by uid %u refused", (unsigned)a.uid);
        return reject(a.key, UPCALL_NEGATIVE_TIMEOUT_SEC, EACCES);
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || mlock(&reply, sizeof(reply)) < 0)
        r = -errno;
    if (r == 0)
        r = ask(&a, &reply);
    if (r < 0) {
        syslog(LOG_ERR, "nvme-keyd did not answer: %s", strerror(-r));
        r = reject(a.key, 1, ENOKEY);
    } else if (reply.error != 0) {
        r = reject(a.key, reply.timeout_sec, reply.error);
    } else {
        r = keyctl_instantiate(a.key, reply.payload, reply.size, 0) < 0 ? EXIT_FAILURE
                                                                        : EXIT_SUCCESS;
        if (r != EXIT_SUCCESS)
            (void)reject(a.key, 1, ENOKEY);
    }
    explicit_bzero(&reply, sizeof(reply));
    return r;
}
