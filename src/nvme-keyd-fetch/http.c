/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "basic/io.h"
#include "nvme-keyd-fetch/http.h"
#include "nvme-keyd-fetch/limits.h"

/* X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL. */
#define VERIFY_NOT_YET_VALID 9
#define VERIFY_EXPIRED 10

/* libcurl gives both a socket and a pointer of ours, which is its event source. */
struct Http {
    sd_event *event;
    HttpTls tls;
    CURLM *multi;
    sd_event_source *timer;
    unsigned calls;
};

struct HttpCall {
    Http *http;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    Secret *secret;
    int (*on_data)(const char *data, size_t size, void *userdata);
    void (*on_end)(const HttpEnd *end, void *userdata);
    void *userdata;
    char *answer;
    size_t size;
    int error; /* why we ended it */
    char why[CURL_ERROR_SIZE];
};

/* --- memory of libcurl */

static void wipe_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void *reallocate(void *p, size_t size)
{
    void *new = malloc(size);

    if (new &&p)
        memcpy(new, p, CONST_MIN(size, malloc_usable_size(p)));
    if (new)
        wipe_free(p);
    return new;
}

int http_init(void)
{
    return curl_global_init_mem(CURL_GLOBAL_ALL, malloc, wipe_free, reallocate, strdup, calloc) ==
                   CURLE_OK
               ? 0
               : -ENOMEM;
}

/* --- libcurl on the event loop */

/* Certificates are checked by the clock of this machine, so that may be what is wrong. */
static void explain_certificate(CURL *easy, char why[static CURL_ERROR_SIZE])
{
    char now[32] = "?";
    time_t t = time(NULL);
    long verified = 0;
    struct tm tm;

    (void)curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (verified != VERIFY_NOT_YET_VALID && verified != VERIFY_EXPIRED)
        return;
    if (gmtime_r(&t, &tm))
        (void)strftime(now, sizeof(now), "%F %T UTC", &tm);
    (void)snprintf(why, CURL_ERROR_SIZE,
                   "its certificate %s by the clock of this machine, %s: check both",
                   verified == VERIFY_EXPIRED ? "has expired" : "is not valid yet", now);
}

static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -EHOSTUNREACH;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return -EKEYREJECTED;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

static HttpCall *call_free(HttpCall *c)
{
    if (!c)
        return NULL;
    if (c->easy) {
        (void)curl_multi_remove_handle(c->http->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->headers);
    free(c->body);
    secret_free(c->secret);
    /* An answer may hold a token. */
    wipe_free(c->answer);
    c->http->calls--;
    free(c);
    return NULL;
}
DEFINE_CLEANUP(HttpCall, call_free)

HttpCall *http_cancel(HttpCall *c)
{
    return call_free(c);
}

static void end_call(HttpCall *c, CURLcode code)
{
    HttpEnd end = {.error = c->error < 0 ? c->error : error_of(code), .why = c->why};
    long status = 0;

    if (code == CURLE_PEER_FAILED_VERIFICATION)
        explain_certificate(c->easy, c->why);
    if (c->error == -EFBIG)
        (void)snprintf(c->why, sizeof(c->why), "its answer is too long");
    else if (c->error < 0)
        (void)snprintf(c->why, sizeof(c->why), "its answer makes no sense: %s",
                       strerror(-c->error));
    else if (code != CURLE_OK && !c->why[0])
        (void)snprintf(c->why, sizeof(c->why), "%s", curl_easy_strerror(code));
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    end.status = (unsigned)status;
    end.body = c->answer ? c->answer : "";
    end.size = c->size;
    c->on_end(&end, c->userdata);
    (void)call_free(c);
}

/* Calls on_end of calls that are over; it may begin and cancel others. */
static void end_calls(Http *h)
{
    const CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(h->multi, &left))) {
        char *private;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        end_call((HttpCall *)(void *)private, m->data.result);
    }
}

static int on_io(_unused_ sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    Http *h = userdata;
    int running, mask = 0;

    if (revents & EPOLLIN)
        mask |= CURL_CSELECT_IN;
    if (revents & EPOLLOUT)
        mask |= CURL_CSELECT_OUT;
    if (revents & (EPOLLERR | EPOLLHUP))
        mask |= CURL_CSELECT_ERR;
    (void)curl_multi_socket_action(h->multi, fd, mask, &running);
    end_calls(h);
    return 0;
}

static int on_socket(_unused_ CURL *easy, curl_socket_t fd, int action, void *userdata,
                     void *source)
{
    uint32_t events = 0;
    Http *h = userdata;
    sd_event_source *s = source;

    if (action == CURL_POLL_REMOVE) {
        (void)sd_event_source_disable_unref(s);
        (void)curl_multi_assign(h->multi, fd, NULL);
        return 0;
    }
    if (action == CURL_POLL_IN || action == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (action == CURL_POLL_OUT || action == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    if (s)
        return sd_event_source_set_io_events(s, events) < 0 ? -1 : 0;
    if (sd_event_add_io(h->event, &s, fd, events, on_io, h) < 0)
        return -1;
    (void)curl_multi_assign(h->multi, fd, s);
    return 0;
}

static int on_time(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
    Http *h = userdata;
    int running;

    (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    end_calls(h);
    return 0;
}

static int on_timer(_unused_ CURLM *multi, long msec, void *userdata)
{
    Http *h = userdata;

    if (msec < 0)
        return sd_event_source_set_enabled(h->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
    if (sd_event_source_set_time(h->timer, now_monotonic() + (uint64_t)msec * 1000) < 0 ||
        sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT) < 0)
        return -1;
    return 0;
}

int http_new(sd_event *event, const HttpTls *tls, Http **ret)
{
    _cleanup_(http_freep) Http *h = calloc(1, sizeof(*h));
    int r;

    if (!h)
        return -ENOMEM;
    h->event = sd_event_ref(event);
    h->tls = *tls;
    r = sd_event_add_time(event, &h->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_time, h);
    if (r < 0)
        return r;
    (void)sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
    h->multi = curl_multi_init();
    if (!h->multi || curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
        curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer) ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 4L))
        return -ENOMEM;
    *ret = TAKE_PTR(h);
    return 0;
}

Http *http_free(Http *h)
{
    if (!h)
        return NULL;
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    (void)sd_event_source_disable_unref(h->timer);
    sd_event_unref(h->event);
    free(h);
    return NULL;
}

/* --- one call */

static int collect(HttpCall *c, const char *data, size_t size)
{
    char *p;

    if (size > FETCH_ANSWER_MAX - c->size)
        return -EFBIG;
    /* Not realloc(3), which leaves a copy. */
    p = reallocate(c->answer, c->size + size);
    if (!p)
        return -ENOMEM;
    memcpy(p + c->size, data, size);
    c->answer = p;
    c->size += size;
    return 0;
}

static size_t on_write(char *data, size_t one, size_t size, void *userdata)
{
    HttpCall *c = userdata;
    long status = 0;

    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    c->error = c->on_data && status == 200 ? c->on_data(data, one * size, c->userdata)
                                           : collect(c, data, one * size);
    return c->error < 0 ? CURL_WRITEFUNC_ERROR : one * size;
}

static int add_header(HttpCall *c, const char *header)
{
    struct curl_slist *headers = curl_slist_append(c->headers, header);

    if (!headers)
        return -ENOMEM;
    c->headers = headers;
    return 0;
}

static int set_headers(HttpCall *c, const HttpRequest *request)
{
    _cleanup_(secret_freep) Secret *line = NULL;

    /* A member of an etcd without a leader should refuse a watch, not be silent. */
    if (add_header(c, "Content-Type: application/json") < 0 ||
        add_header(c, "Grpc-Metadata-hasleader: true") < 0 || add_header(c, "Expect:") < 0)
        return -ENOMEM;
    if (!request->token)
        return 0;
    line = secret_new(sizeof("Authorization: ") + request->token->size);
    if (!line)
        return -ENOMEM;
    (void)stpcpy(stpcpy((char *)line->data, "Authorization: "), (const char *)request->token->data);
    return add_header(c, (char *)line->data);
}

static bool set_body(HttpCall *c, const HttpRequest *request)
{
    if (request->body)
        c->body = strdup(request->body);
    else
        c->secret = secret_new_copy(request->secret->data, request->secret->size);
    return c->body || c->secret;
}

/* Options of TLS. A server is known by its name in a certificate of our CAs, and nothing else. */
static CURLcode set_tls(CURL *easy, const HttpTls *tls)
{
    CURLcode code = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

    if (code == CURLE_OK && tls->ca)
        code = curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
    if (code == CURLE_OK && tls->certificate)
        code = curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
    if (code == CURLE_OK && tls->key)
        code = curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    return code;
}

static CURLcode set_options(HttpCall *c, const HttpRequest *request)
{
    static char protocols[] = "https,http", no_proxy[] = "";
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_POST, 1},
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_CONNECTTIMEOUT_MS, (long)(FETCH_CONNECT_USEC / 1000)},
        {CURLOPT_TIMEOUT_MS, (long)(request->timeout_usec / 1000)},
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_TCP_KEEPIDLE, 20},
        {CURLOPT_TCP_KEEPINTVL, 5},
        {CURLOPT_BUFFERSIZE, 16 * 1024},
    };
    const struct {
        CURLoption option;
        void *value;
    } pointers[] = {
        {CURLOPT_PRIVATE, c},
        {CURLOPT_ERRORBUFFER, c->why},
        {CURLOPT_WRITEDATA, c},
        {CURLOPT_HTTPHEADER, c->headers},
        {CURLOPT_POSTFIELDS, c->body ? (void *)c->body : c->secret->data},
        {CURLOPT_URL, (char *)(uintptr_t)request->url},
        {CURLOPT_PROTOCOLS_STR, protocols},
        {CURLOPT_PROXY, no_proxy},
    };
    CURLcode code = curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_write);

    for (size_t i = 0; code == CURLE_OK && i < ARRAY_SIZE(numbers); i++)
        code = curl_easy_setopt(c->easy, numbers[i].option, numbers[i].value);
    for (size_t i = 0; code == CURLE_OK && i < ARRAY_SIZE(pointers); i++)
        code = curl_easy_setopt(c->easy, pointers[i].option, pointers[i].value);
    return code == CURLE_OK ? set_tls(c->easy, &c->http->tls) : code;
}

int http_post(Http *h, const HttpRequest *request, HttpCall **ret)
{
    _cleanup_(call_freep) HttpCall *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->http = h;
    h->calls++;
    c->on_data = request->on_data;
    c->on_end = request->on_end;
    c->userdata = request->userdata;
    c->easy = curl_easy_init();
    if (!c->easy || !set_body(c, request) || set_headers(c, request) < 0 ||
        set_options(c, request) != CURLE_OK || curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
        return -ENOMEM;
    *ret = TAKE_PTR(c);
    return 0;
}
