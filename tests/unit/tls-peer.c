/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/macro.h"
#include "tls-peer.h"

static const Peer *own; /* in the child */

void peer_psk(uint8_t seed, uint8_t *ret, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ret[i] = (uint8_t)(seed + 7 * i);
}

static int find_session(SSL *ssl, const unsigned char *identity, size_t size, SSL_SESSION **ret)
{
    const unsigned char id[] = {0x13, own->hash == PSK_HASH_SHA384 ? 2 : 1};
    SSL_SESSION *s;

    *ret = NULL;
    if (size != strlen(own->identity) || memcmp(identity, own->identity, size) != 0)
        return 1;
    s = SSL_SESSION_new();
    if (!s || SSL_SESSION_set1_master_key(s, own->psk, own->size) != 1 ||
        SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, id)) != 1 ||
        SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) != 1)
        _exit(1);
    *ret = s;
    return 1;
}

/* Valid for an hour, without names. */
static void use_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(x), -1800);
    X509_gmtime_adj(X509_getm_notAfter(x), 1800);
    X509_set_pubkey(x, key);
    if (X509_sign(x, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(context, x) != 1 ||
        SSL_CTX_use_PrivateKey(context, key) != 1)
        _exit(1);
}

static char serve_tls(int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    char result = 'x', data;
    SSL *ssl;

    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    if (own->mode == PEER_CERTIFICATE)
        use_certificate(context);
    else
        SSL_CTX_set_psk_find_session_callback(context, find_session);
    ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        if (SSL_read(ssl, &data, 1) == 1)
            result = 'd';
        else
            result = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN ? 'c' : 'u';
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return result;
}

static void read_some(int fd, size_t size)
{
    char buffer[4096];

    for (ssize_t n; size > 0; size -= (size_t)n)
        if ((n = read(fd, buffer, CONST_MIN(size, sizeof(buffer)))) <= 0)
            return;
}

/* A record of TLS says its length in its bytes 3 and 4. */
static void read_record(int fd)
{
    uint8_t head[5];

    if (recv(fd, head, sizeof(head), MSG_WAITALL) == sizeof(head))
        read_some(fd, (size_t)head[3] << 8 | head[4]);
}

static char serve(int fd)
{
    static const uint8_t half[] = {SSL3_RT_HANDSHAKE, 3, 3, 0, 122, 2, 0, 0};
    static const char garbage[] = "HTTP/1.0 400 Bad Request\r\n\r\n";

    switch (own->mode) {
    case PEER_TLS:
    case PEER_CERTIFICATE:
        return serve_tls(fd);
    case PEER_HALF:
        read_record(fd);
        (void)!write(fd, half, sizeof(half));
        read_some(fd, SIZE_MAX);
        break;
    case PEER_LIKE_TLSHD:
        read_record(fd);
        break;
    case PEER_LIKE_NVME:
        read_some(fd, 8);
        break;
    case PEER_SILENT:
        read_some(fd, SIZE_MAX);
        break;
    case PEER_GARBAGE:
        (void)!write(fd, garbage, sizeof(garbage) - 1);
        read_some(fd, SIZE_MAX);
        break;
    case PEER_CLOSES:
        break;
    }
    return 'x';
}

static void serve_all(int listen_fd, int results)
{
    for (;;) {
        int fd = accept(listen_fd, NULL, NULL);
        char result;

        if (fd < 0)
            _exit(1);
        result = serve(fd);
        close(fd);
        if (write(results, &result, 1) != 1)
            _exit(0);
    }
}

/* Any free port. */
static int make_listener(int family, uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *a = family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
    socklen_t size = family == AF_INET6 ? sizeof(in6) : sizeof(in);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, a, size) < 0 || listen(fd, 8) < 0 || getsockname(fd, a, &size) < 0) {
        closep(&fd);
        return -1;
    }
    *ret_port = ntohs(family == AF_INET6 ? in6.sin6_port : in.sin_port);
    return fd;
}

const char *peer_start(Peer *p)
{
    int fds[2], fd;

    (void)signal(SIGPIPE, SIG_IGN);
    p->size = p->size ? p->size : 32;
    p->identity = p->identity ? p->identity : PEER_IDENTITY_1;
    p->hash = p->hash ? p->hash : PSK_HASH_SHA256;
    fd = make_listener(p->family ? p->family : AF_INET, &p->port);
    if (fd < 0)
        return "no loopback address";
    if (pipe(fds) < 0)
        return "no pipe";
    p->pid = fork();
    if (p->pid < 0)
        return "no process";
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        own = p;
        close(fds[0]);
        serve_all(fd, fds[1]);
    }
    close(fd);
    close(fds[1]);
    p->results = fds[0];
    return NULL;
}

void peer_stop(const Peer *p)
{
    if (p->pid > 0) {
        (void)kill(p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
        close(p->results);
    }
}

char peer_result(const Peer *p)
{
    char result;

    return read(p->results, &result, 1) == 1 ? result : '?';
}
