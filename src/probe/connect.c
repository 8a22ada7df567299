/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/io.h"
#include "probe/connect.h"

typedef union Address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} Address;

static socklen_t address_size(const Address *a)
{
    return a->any.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

/* The scope is the name or the number of an interface; a wrong one gives 0. */
static unsigned find_scope(const char *scope)
{
    unsigned index = if_nametoindex(scope), number = 0;

    for (const char *c = scope; index == 0 && *c >= '0' && *c <= '9' && number < UINT16_MAX; c++)
        number = number * 10 + (unsigned)(*c - '0');
    return index ? index : number;
}

/* text has the form that probe_target_set() has checked. */
static int make_address(const char *text, uint16_t port, Address *ret)
{
    char copy[PROBE_ADDRESS_MAX + 1], *scope = copy;
    Address a;

    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
        *ret = a;
        return 0;
    }
    strcpy(copy, text);
    (void)strsep(&scope, "%");
    a.in6.sin6_family = AF_INET6;
    a.in6.sin6_port = htons(port);
    if (inet_pton(AF_INET6, copy, &a.in6.sin6_addr) != 1)
        return -EINVAL;
    if (scope && (a.in6.sin6_scope_id = find_scope(scope)) == 0)
        return -ENODEV;
    *ret = a;
    return 0;
}

int connect_wait(int fd, short events, int cancel_fd, uint64_t deadline_usec)
{
    struct pollfd p[] = {{.fd = fd, .events = events}, {.fd = cancel_fd, .events = POLLRDHUP}};

    for (;;) {
        uint64_t now = now_monotonic();
        int n;

        if (now >= deadline_usec)
            return -ETIMEDOUT;
        n = poll(p, ARRAY_SIZE(p), (int)((deadline_usec - now + 999) / 1000));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && p[1].revents)
            return -ECANCELED;
        if (n > 0 && p[0].revents)
            return 0;
    }
}

/* An interface needs no capability since Linux 5.7. */
static int set_way(int fd, const ProbeTarget *t)
{
    Address source;
    int r;

    if (t->interface[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, t->interface,
                                      (socklen_t)strlen(t->interface) + 1) < 0)
        return -errno;
    if (!t->source[0])
        return 0;
    r = make_address(t->source, 0, &source);
    if (r < 0)
        return r;
    return bind(fd, &source.any, address_size(&source)) < 0 ? -errno : 0;
}

static int finish_connect(int fd, int cancel_fd, uint64_t deadline_usec)
{
    socklen_t size;
    int error, r = connect_wait(fd, POLLOUT, cancel_fd, deadline_usec);

    size = sizeof(error);
    if (r < 0)
        return r;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

int connect_target(const ProbeTarget *t, int cancel_fd, uint64_t deadline_usec, int *ret_fd)
{
    _cleanup_(closep) int fd = -EBADF;
    Address address;
    int r = make_address(t->address, t->port, &address);

    if (r < 0)
        return r;
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    r = set_way(fd, t);
    if (r < 0)
        return r;
    if (connect(fd, &address.any, address_size(&address)) < 0)
        r = errno == EINPROGRESS ? finish_connect(fd, cancel_fd, deadline_usec) : -errno;
    if (r < 0)
        return r;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static bool can_bind(const Address *a)
{
    _cleanup_(closep) int fd = socket(a->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    Address any_port = *a;

    if (a->any.sa_family == AF_INET)
        any_port.in.sin_port = 0;
    else
        any_port.in6.sin6_port = 0;
    return fd >= 0 && bind(fd, &any_port.any, address_size(&any_port)) == 0;
}

/* With ip_nonlocal_bind, a machine binds to any address, also to one of documentation (RFC 5737,
 * RFC 3849). */
static bool binds_foreign(sa_family_t family)
{
    Address a;

    return make_address(family == AF_INET ? "192.0.2.1" : "2001:db8::1", 0, &a) == 0 &&
           can_bind(&a);
}

/* The kernel prefers the address of the target as that of our end if it is local. */
static bool is_own_source(const Address *a)
{
    _cleanup_(closep) int fd = socket(a->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    Address source = {.in6 = {.sin6_family = AF_UNSPEC}};
    socklen_t size = sizeof(source);

    if (fd < 0 || connect(fd, &a->any, address_size(a)) < 0 ||
        getsockname(fd, &source.any, &size) < 0)
        return false;
    return a->any.sa_family == AF_INET
               ? source.in.sin_addr.s_addr == a->in.sin_addr.s_addr
               : IN6_ARE_ADDR_EQUAL(&source.in6.sin6_addr, &a->in6.sin6_addr);
}

bool connect_is_own(const ProbeTarget *t)
{
    Address a;

    if (make_address(t->address, t->port, &a) < 0)
        return false;
    return is_own_source(&a) || (can_bind(&a) && !binds_foreign(a.any.sa_family));
}
