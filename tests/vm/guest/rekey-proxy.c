/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * rekey-proxy PORT TARGET-PORT IDENTITY: ends the TLS of NVMe/TCP hosts at 127.0.0.1:PORT and
 * relays what they say to 127.0.0.1:TARGET-PORT, a port without TLS. The first line of standard
 * input is the TLS PSK of the identity, in hexadecimal. Each line after it sends a KeyUpdate of TLS
 * to all hosts' connections but the oldest one, which is the admin queue, and each that was sent is
 * a line of the output. Goes on until the end of its input.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64

static const char *identity;
static unsigned char psk[48];
static long psk_size;
static volatile sig_atomic_t update_wanted;

static void on_usr1(int signo)
{
    (void)signo;
    update_wanted = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_psk(void)
{
    unsigned char *bytes;
    char line[128], c;
    size_t n = 0;

    /* Not by stdio, which would read the next lines as well. */
    while (n < sizeof(line) - 1 && read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
        line[n++] = c;
    line[n] = 0;
    bytes = OPENSSL_hexstr2buf(line, &psk_size);
    if (!bytes || (psk_size != 32 && psk_size != 48)) {
        fprintf(stderr, "The first line is no TLS PSK.\n");
        exit(2);
    }
    memcpy(psk, bytes, (size_t)psk_size);
    OPENSSL_clear_free(bytes, (size_t)psk_size);
}

static int find_psk(SSL *ssl, const unsigned char *asked, size_t size, SSL_SESSION **ret)
{
    static const unsigned char sha256[] = {0x13, 0x01}, sha384[] = {0x13, 0x02};

    *ret = NULL;
    if (size != strlen(identity) || memcmp(asked, identity, size) != 0)
        return 1;
    *ret = SSL_SESSION_new();
    return *ret && SSL_SESSION_set1_master_key(*ret, psk, (size_t)psk_size) &&
           SSL_SESSION_set_cipher(*ret, SSL_CIPHER_find(ssl, psk_size == 32 ? sha256 : sha384)) &&
           SSL_SESSION_set_protocol_version(*ret, TLS1_3_VERSION);
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    /* The PSK is for one hash, so it needs a cipher of that. The kernel can take a ticket as little
     * as a KeyUpdate. */
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, psk_size == 32 ? "TLS_AES_128_GCM_SHA256"
                                                      : "TLS_AES_256_GCM_SHA384") ||
        !SSL_CTX_set_num_tickets(ctx, 0)) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_psk_find_session_callback(ctx, find_psk);
    return ctx;
}

static struct sockaddr_in address_of(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((in_port_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_at(const char *port)
{
    struct sockaddr_in a = address_of(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
        die("listen");
    return fd;
}

static int connect_to(const char *port)
{
    struct sockaddr_in a = address_of(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Returns false at the end of the connection, as the next two do. */
static bool host_to_target(SSL *ssl, int target)
{
    char data[SSL3_RT_MAX_PLAIN_LENGTH];

    do {
        int n = SSL_read(ssl, data, sizeof(data));

        if (n <= 0)
            return false;
        for (ssize_t done = 0, k; done < n; done += k)
            if ((k = write(target, data + done, (size_t)(n - done))) < 0)
                return false;
    } while (SSL_pending(ssl) > 0);
    return true;
}

static bool target_to_host(int target, SSL *ssl)
{
    char data[SSL3_RT_MAX_PLAIN_LENGTH];
    ssize_t n = read(target, data, sizeof(data));

    return n > 0 && SSL_write(ssl, data, (int)n) == n;
}

static bool send_update(SSL *ssl)
{
    update_wanted = 0;
    if (!SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) || SSL_do_handshake(ssl) != 1)
        return false;
    printf("KeyUpdate sent\n");
    fflush(stdout);
    return true;
}

/* Waits in write() if one end does not read: those of the kernel always do, until a KeyUpdate. */
static void relay(SSL *ssl, int host, int target)
{
    struct pollfd p[] = {{.fd = host, .events = POLLIN}, {.fd = target, .events = POLLIN}};
    bool goes_on = true;
    sigset_t none;

    sigemptyset(&none);
    while (goes_on) {
        if (update_wanted) {
            goes_on = send_update(ssl);
            continue;
        }
        if (ppoll(p, 2, NULL, &none) < 0) {
            goes_on = errno == EINTR;
            continue;
        }
        if (p[0].revents)
            goes_on = host_to_target(ssl, target);
        if (goes_on && p[1].revents)
            goes_on = target_to_host(target, ssl);
    }
}

static void serve(SSL_CTX *ctx, int host, const char *target_port)
{
    SSL *ssl = SSL_new(ctx);
    int on = 1;

    (void)setsockopt(host, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (!ssl || !SSL_set_fd(ssl, host) || SSL_accept(ssl) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    relay(ssl, host, connect_to(target_port));
    exit(0);
}

/* Removes what has ended; the order stays. */
static size_t reap(pid_t *children, size_t n)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        if (waitpid(children[i], NULL, WNOHANG) == 0)
            children[left++] = children[i];
    return left;
}

static pid_t start(SSL_CTX *ctx, int listener, const char *target_port)
{
    int host = accept(listener, NULL, NULL);
    pid_t pid = host < 0 ? -1 : fork();

    if (pid < 0)
        die("accept");
    if (pid > 0) {
        close(host);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close(listener);
    serve(ctx, host, target_port);
    return 0;
}

int main(int argc, char *argv[])
{
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    pid_t children[CONNECTIONS_MAX];
    size_t n = 0;
    sigset_t usr1;
    char line[64];
    SSL_CTX *ctx;

    if (argc != 4)
        return 2;
    identity = argv[3];
    read_psk();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, on_usr1);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    ctx = make_context();
    p[1].fd = listen_at(argv[1]);
    for (;;) {
        if (poll(p, 2, -1) < 0)
            die("poll");
        n = reap(children, n);
        if (p[0].revents && read(STDIN_FILENO, line, sizeof(line)) <= 0)
            break;
        for (size_t i = 1; p[0].revents && i < n; i++)
            kill(children[i], SIGUSR1);
        if (p[1].revents && n < CONNECTIONS_MAX)
            children[n++] = start(ctx, p[1].fd, argv[2]);
    }
    for (size_t i = 0; i < n; i++)
        kill(children[i], SIGTERM);
    return 0;
}
