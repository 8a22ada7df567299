/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/ports.h"

/* An address of either family, those of IPv4 mapped into IPv6. */
static bool parse_address(const char *text, struct in6_addr *ret)
{
    char copy[INET6_ADDRSTRLEN + sizeof("::ffff:")];
    size_t n = strcspn(text, "%");

    if (n >= INET6_ADDRSTRLEN)
        return false;
    (void)snprintf(copy, sizeof(copy), "%s%.*s", strchr(text, ':') ? "" : "::ffff:", (int)n, text);
    return inet_pton(AF_INET6, copy, ret) == 1;
}

/* A socket of IPv6 without an address takes connections of both families. */
static bool serves_address(const char *served, const char *asked)
{
    struct in6_addr a, b, any_v4;

    if (!parse_address(served, &a) || !parse_address(asked, &b) ||
        !parse_address("0.0.0.0", &any_v4))
        return false;
    return IN6_ARE_ADDR_EQUAL(&a, &b) || IN6_IS_ADDR_UNSPECIFIED(&a) ||
           (IN6_ARE_ADDR_EQUAL(&a, &any_v4) && IN6_IS_ADDR_V4MAPPED(&b));
}

static bool has_value(int fd, const char *attribute, const char *value)
{
    char text[64];

    return io_read_line_at(fd, attribute, text, sizeof(text)) == 0 && strcmp(text, value) == 0;
}

/* The kernel listens while a subsystem is linked to the port. */
static bool is_enabled(int fd)
{
    _cleanup_(closedirp) DIR *d = attribute_open_dir(fd, "subsystems");
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            return true;
    return false;
}

static bool serves(int fd, const char *address, const char *port)
{
    char served[INET6_ADDRSTRLEN + 16];

    return has_value(fd, "addr_trtype", "tcp") && has_value(fd, "addr_tsas", "tls1.3") &&
           has_value(fd, "addr_trsvcid", port) &&
           io_read_line_at(fd, "addr_traddr", served, sizeof(served)) == 0 &&
           serves_address(served, address) && is_enabled(fd);
}

bool target_port_is_ours(const char *directory, const char *address, uint16_t port)
{
    _cleanup_(closedirp) DIR *d = opendir(directory);
    const struct dirent *e;
    bool found = false;
    char text[8];

    (void)snprintf(text, sizeof(text), "%u", port);
    while (d && !found && (e = readdir(d))) {
        _cleanup_(closep) int fd =
            e->d_name[0] == '.' ? -EBADF
                                : openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        found = fd >= 0 && serves(fd, address, text);
    }
    return found;
}
