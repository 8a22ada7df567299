/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* wake SOCKET: connects to the daemon's request socket without a request, and prints the
 * microseconds until the daemon has noticed. If no daemon is running and there is no store, this is
 * the cost of a start. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    static const struct timeval limit = {.tv_sec = 60};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int64_t start;
    char byte;
    int fd;

    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        fprintf(stderr, "usage: wake SOCKET\n");
        return EXIT_FAILURE;
    }
    strcpy(address.sun_path, argv[1]);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

    start = now_usec();
    /* The daemon answers a connection without a request by closing it. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        shutdown(fd, SHUT_WR) < 0 || recv(fd, &byte, 1, 0) != 0) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    printf("%lld\n", (long long)(now_usec() - start));
    close(fd);
    return EXIT_SUCCESS;
}
