/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "basic/io.h"
#include "probe/connect.h"
#include "probe/handshake.h"

DEFINE_CLEANUP(SSL, SSL_free)
DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)
DEFINE_CLEANUP(SSL_SESSION, SSL_SESSION_free)

/* One handshake, for the callbacks of OpenSSL. */
typedef struct Offer {
    SSL_SESSION *session; /* the PSK */
    const char *identity;
    int alert; /* that came, or -1 */
    int fd;
    uint8_t first[2]; /* what came first, n_first bytes */
    size_t n_first;
} Offer;

/* TLS takes an external PSK as the session that would be resumed. md is the hash of a suite that
 * the peer has chosen already, which can only be ours. */
static int use_session(SSL *ssl, _unused_ const EVP_MD *md, const unsigned char **id,
                       size_t *id_size, SSL_SESSION **session)
{
    Offer *o = SSL_get_app_data(ssl);

    if (SSL_SESSION_up_ref(o->session) != 1)
        return 0;
    *id = (const unsigned char *)o->identity;
    *id_size = strlen(o->identity);
    *session = o->session;
    return 1;
}

static void on_info(const SSL *ssl, int where, int value)
{
    Offer *o = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && o->alert < 0)
        o->alert = value;
}

static SSL_CTX *new_context(const char *suite)
{
    _cleanup_(SSL_CTX_freep) SSL_CTX *context = NULL;

    /* The machine's configuration of OpenSSL is for other programs, and may lack our suite. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
        !(context = SSL_CTX_new(TLS_client_method())) ||
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, suite) != 1)
        return NULL;
    /* A certificate cannot take the place of the PSK, because nothing here vouches for one. */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_psk_use_session_callback(context, use_session);
    SSL_CTX_set_info_callback(context, on_info);
    return TAKE_PTR(context);
}

typedef struct Suite {
    const char *name;
    unsigned char number[2];
} Suite;

/* What tlshd offers. With GnuTLS before 3.8.11 it takes each PSK as one of SHA-256, but leaves
 * AES-128 out for one of 48 bytes, so of its suites only that of ChaCha20 has this hash. */
static const Suite *suite_of(const ProbeRequest *q, PskHash hash)
{
    static const Suite sha256 = {"TLS_AES_128_GCM_SHA256", {0x13, 0x01}},
                       sha384 = {"TLS_AES_256_GCM_SHA384", {0x13, 0x02}},
                       as_sha256 = {"TLS_CHACHA20_POLY1305_SHA256", {0x13, 0x03}};

    if (hash != PSK_HASH_SHA384)
        return &sha256;
    return q->as_sha256 ? &as_sha256 : &sha384;
}

static SSL_SESSION *new_session(SSL *ssl, const ProbeRequest *q, const Suite *suite)
{
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite->number);
    _cleanup_(SSL_SESSION_freep) SSL_SESSION *session = SSL_SESSION_new();

    if (!cipher || !session ||
        SSL_SESSION_set1_master_key(session, q->psk, (size_t)q->psk_size) != 1 ||
        SSL_SESSION_set_cipher(session, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1)
        return NULL;
    return TAKE_PTR(session);
}

/* Keeps the first bytes that come. */
static long on_read(BIO *bio, int what, const char *data, _unused_ size_t size, _unused_ int i,
                    _unused_ long l, int result, size_t *read_size)
{
    Offer *o = (Offer *)(void *)BIO_get_callback_arg(bio);

    if (what == (BIO_CB_READ | BIO_CB_RETURN) && result > 0)
        for (size_t n = 0; n < *read_size && o->n_first < sizeof(o->first); n++)
            o->first[o->n_first++] = (uint8_t)data[n];
    return result;
}

/* A record of an alert or a handshake; each version of TLS has the major number 3. */
static bool is_tls(const uint8_t *first, size_t n)
{
    return n > 0 && (first[0] == SSL3_RT_ALERT || first[0] == SSL3_RT_HANDSHAKE) &&
           (n == 1 || first[1] == SSL3_VERSION_MAJOR);
}

_printf_(3, 4) static void conclude(Handshake *h, ProbeAnswer answer, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(h->detail, sizeof(h->detail), format, ap);
    va_end(ap);
    h->answer = answer;
}

static void conclude_accepted(SSL *ssl, const char *suite, Handshake *h)
{
    /* A server without our PSK continues with its certificate, which verification refuses. */
    if (SSL_session_reused(ssl))
        conclude(h, PROBE_ACCEPTED, "TLS 1.3 handshake with %s", suite);
    else
        conclude(h, PROBE_REFUSED, "the target did without the PSK");
}

/* failure: a value of SSL_get_error(), or -ETIMEDOUT. */
static void conclude_failed(const Offer *o, int failure, Handshake *h)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (o->alert >= 0)
        conclude(h, PROBE_REFUSED, "the target sent the alert \"%s\"",
                 SSL_alert_desc_string_long(o->alert));
    else if (o->n_first > 0 && !is_tls(o->first, o->n_first))
        conclude(h, PROBE_NO_TLS, "the target answered with something that is not TLS");
    else if (failure == -ETIMEDOUT && o->n_first > 0)
        conclude(h, PROBE_REFUSED, "the target did not finish the handshake in time");
    else if (failure == -ETIMEDOUT)
        conclude(h, PROBE_NO_TLS, "the target did not answer in time");
    else if (failure == SSL_ERROR_SSL && reason &&
             ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        conclude(h, PROBE_REFUSED, "the handshake failed: %s", reason);
    else {
        conclude(h, PROBE_REFUSED, "the target closed the connection during the handshake");
        h->closed_silently = o->n_first == 0;
    }
}

/* Returns 0 when the handshake is complete, a value of SSL_get_error(), or an error of
 * connect_wait(). */
static int shake(SSL *ssl, Offer *o, int cancel_fd, uint64_t deadline_usec)
{
    for (;;) {
        int r, failure;
        bool reads;

        ERR_clear_error();
        r = SSL_connect(ssl);
        failure = r == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, r);
        reads = failure == SSL_ERROR_WANT_READ;
        if (!reads && failure != SSL_ERROR_WANT_WRITE)
            return failure;
        r = connect_wait(o->fd, reads ? POLLIN : POLLOUT, cancel_fd, deadline_usec);
        if (r < 0)
            return r;
    }
}

static int shake_and_close(Offer *o, const ProbeRequest *q, PskHash hash, int cancel_fd,
                           uint64_t deadline_usec, Handshake *h)
{
    const Suite *suite = suite_of(q, hash);
    _cleanup_(SSL_CTX_freep) SSL_CTX *context = new_context(suite->name);
    _cleanup_(SSL_freep) SSL *ssl = context ? SSL_new(context) : NULL;
    _cleanup_(SSL_SESSION_freep) SSL_SESSION *session = ssl ? new_session(ssl, q, suite) : NULL;
    int r;

    if (!session || SSL_set_fd(ssl, o->fd) != 1 || SSL_set_app_data(ssl, o) != 1)
        return -EIO;
    BIO_set_callback_ex(SSL_get_rbio(ssl), on_read);
    BIO_set_callback_arg(SSL_get_rbio(ssl), (char *)o);
    o->session = session;
    r = shake(ssl, o, cancel_fd, deadline_usec);
    h->cancelled = r == -ECANCELED;
    if (r == 0) {
        conclude_accepted(ssl, suite->name, h);
        (void)SSL_shutdown(ssl);
    } else
        conclude_failed(o, r, h);
    return 0;
}

/* Reads what comes until the peer closes, because close(2) with unread data would reset the
 * connection, and the peer might lose close_notify. */
static void drain(int fd, int cancel_fd)
{
    uint64_t deadline_usec = now_monotonic() + PROBE_CLOSE_USEC;
    uint8_t buffer[512];

    while (connect_wait(fd, POLLIN, cancel_fd, deadline_usec) == 0)
        if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0)
            return;
}

int handshake_offer(int fd, const ProbeRequest *q, PskHash hash, int cancel_fd,
                    uint64_t deadline_usec, Handshake *ret)
{
    Offer o = {.identity = q->identity, .alert = -1, .fd = fd};
    Handshake h = {.answer = PROBE_UNAVAILABLE};
    int r = shake_and_close(&o, q, hash, cancel_fd, deadline_usec, &h);

    if (r < 0)
        return r;
    if (h.answer == PROBE_ACCEPTED)
        drain(fd, cancel_fd);
    *ret = h;
    return 0;
}

bool handshake_is_expected(int fd, int cancel_fd, uint64_t deadline_usec)
{
    /* The head of a record with a ClientHello, and the head of that. NVMe/TCP has heads of 8 bytes
     * as well, so a port without TLS judges this. */
    static const uint8_t start[] = {SSL3_RT_HANDSHAKE, SSL3_VERSION_MAJOR, 1, 2, 0, 1, 0, 1};
    uint8_t answer[2];
    ssize_t n;

    if (send(fd, start, sizeof(start), MSG_NOSIGNAL) != sizeof(start))
        return false;
    if (connect_wait(fd, POLLIN, cancel_fd, deadline_usec) < 0)
        return true;
    n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    return n > 0 && is_tls(answer, (size_t)n);
}
