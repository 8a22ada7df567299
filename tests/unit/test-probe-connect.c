/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/io.h"
#include "probe/connect.h"
#include "test.h"
#include "tls-peer.h"

static ProbeTarget target(const char *address, uint16_t port, const char *source,
                          const char *interface)
{
    ProbeTarget t;
    const char *what;

    if (probe_target_set(address, port, source, interface, &t, &what) < 0)
        abort();
    return t;
}

static int try(const ProbeTarget *t, int *ret_fd)
{
    return connect_target(t, -1, now_monotonic() + 10 * USEC_PER_SEC, ret_fd);
}

TEST(from_a_source_and_an_interface)
{
    _cleanup_(peer_stop) Peer p = {.mode = PEER_SILENT};
    _cleanup_(closep) int fd = -EBADF;
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    const char *cannot = peer_start(&p);
    ProbeTarget t;

    if (cannot)
        TEST_SKIP(cannot);
    t = target("127.0.0.1", p.port, "127.0.0.7", "lo");
    ASSERT_OK(try(&t, &fd));
    ASSERT_OK(getsockname(fd, (struct sockaddr *)&own, &size));
    ASSERT_EQ(ntohl(own.sin_addr.s_addr), 0x7f000007);
}

TEST(errors)
{
    ProbeTarget t;
    int fd;

    t = target("127.0.0.1", 4420, "192.0.2.7", NULL);
    ASSERT_EQ(try(&t, &fd), -EADDRNOTAVAIL);
    t = target("127.0.0.1", 4420, NULL, "keyd-none");
    ASSERT_EQ(try(&t, &fd), -ENODEV);
    t = target("fe80::1%keyd-none", 4420, NULL, NULL);
    ASSERT_EQ(try(&t, &fd), -ENODEV);
    t = target("fe80::1%0", 4420, NULL, NULL);
    ASSERT_EQ(try(&t, &fd), -ENODEV);
}

/* The queue of the listener is full, so the kernel answers nothing. */
TEST(deadline)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    _cleanup_(closep) int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof(a);
    int fds[4], fd, r = 0;
    ProbeTarget t;

    ASSERT_OK(bind(listener, (struct sockaddr *)&a, size));
    ASSERT_OK(listen(listener, 0));
    ASSERT_OK(getsockname(listener, (struct sockaddr *)&a, &size));
    t = target("127.0.0.1", ntohs(a.sin_port), NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (connect_target(&t, -1, now_monotonic() + USEC_PER_SEC / 5, &fds[i]) < 0)
            fds[i] = -1;
    r = connect_target(&t, -1, now_monotonic() + USEC_PER_SEC / 5, &fd);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        closep(&fds[i]);
    ASSERT_EQ(r, -ETIMEDOUT);
}

TEST(own_addresses)
{
    static const char *const own[] = {"127.0.0.1", "127.1.2.3"};
    static const char *const others[] = {"192.0.2.1", "198.51.100.77", "2001:db8::7"};
    ProbeTarget t;

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        t = target(own[i], 4420, NULL, NULL);
        ASSERT_TRUE(connect_is_own(&t));
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        t = target(others[i], 4420, NULL, NULL);
        ASSERT_TRUE(!connect_is_own(&t));
    }
}
