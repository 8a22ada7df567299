/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "basic/io.h"
#include "basic/log.h"
#include "nvme-keyd-fetch/etcd-request.h"
#include "nvme-keyd-fetch/etcd-session.h"

/* A session that has lasted so long has come up. */
#define UP_USEC (10 * USEC_PER_SEC)
/* Compaction or an ended token happen rarely; a server that names them again and again is broken.
 */
#define RESTARTS_MAX 3

static const char *endpoint_of(const Source *s)
{
    return s->setup.config->endpoints[s->endpoint];
}

static void tell_state(const Source *s, const char *line)
{
    s->setup.handler->state(line, s->setup.handler->userdata);
}

void session_url(const Source *s, const char *path, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s%s", endpoint_of(s), path);
}

/* --- time */

static uint64_t random_below(uint64_t n)
{
    uint64_t value;

    if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
        value = now_monotonic();
    return value % n;
}

static uint64_t pause_usec(const Source *s)
{
    /* All endpoints are tried once before the pause grows. */
    size_t rounds = (s->failures - 1) / s->setup.config->n_endpoints;
    uint64_t usec = rounds < 16 ? FETCH_PAUSE_USEC << rounds : FETCH_PAUSE_MAX_USEC;

    usec = CONST_MIN(usec, FETCH_PAUSE_MAX_USEC);
    return usec - random_below(usec / 2);
}

static void set_timer(Source *s, uint64_t usec)
{
    if (sd_event_source_set_time(s->timer, usec) < 0 ||
        sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT) < 0)
        log_error("Cannot set a timer");
}

void session_wake(Source *s)
{
    set_timer(s, 0);
}

/* The time of what happens next without an answer. */
static uint64_t next_usec(const Source *s)
{
    uint64_t usec = UINT64_MAX;

    if (s->pause_until > 0)
        return s->pause_until;
    if (s->watch && !s->is_watching)
        usec = s->watch_since + FETCH_CALL_USEC;
    if (json_lines_is_inside(&s->lines))
        usec = CONST_MIN(usec, s->line_since + FETCH_LINE_USEC);
    if (s->is_watching && s->failures > 0)
        usec = CONST_MIN(usec, s->watch_since + UP_USEC);
    /* A call has a limit of its own. */
    if (s->is_watching && !s->call)
        usec = CONST_MIN(usec, s->alive_at);
    return usec;
}

/* --- the end of a session */

static void stop(Source *s)
{
    s->call = http_cancel(s->call);
    take_stop(s);
    /* The next endpoint shows at once whether it works. */
    s->alive_at = 0;
}

void session_fail(Source *s, const char *why)
{
    char line[FETCH_VALUE_MAX + 2 * ETCD_WHY_MAX];
    uint64_t pause;

    stop(s);
    s->failures++;
    pause = pause_usec(s);
    (void)snprintf(line, sizeof(line), "%s: %s", endpoint_of(s), why);
    /* An outage of hours is some lines, not thousands. */
    log_full((s->failures & (s->failures - 1)) == 0 ? LOG_WARNING : LOG_DEBUG, 0, NULL,
             "%s; next try in %" PRIu64 " ms", line, pause / 1000);
    tell_state(s, line);
    s->endpoint = (s->endpoint + 1) % s->setup.config->n_endpoints;
    s->pause_until = now_monotonic() + pause;
    set_timer(s, s->pause_until);
}

void session_restart(Source *s, const char *why)
{
    if (++s->restarts > RESTARTS_MAX) {
        session_fail(s, why);
        return;
    }
    log_debug("%s: %s", endpoint_of(s), why);
    stop(s);
    session_wake(s);
}

void session_fault(Source *s, EtcdFault fault, const char *why)
{
    switch (fault) {
    case ETCD_FAULT_TOKEN:
        s->token = secret_free(s->token);
        s->is_open = false;
        if (s->setup.config->user[0])
            session_restart(s, why);
        else
            session_fail(s, "it wants a user: give User= in [Source], and a password");
        return;
    case ETCD_FAULT_COMPACTED:
        s->seen = (EtcdHeader){.revision = 0};
        session_restart(s, why);
        return;
    default:
        session_fail(s, why);
    }
}

/* --- calls */

static void next(Source *s);

static void on_end(const HttpEnd *end, void *userdata)
{
    char why[ETCD_WHY_MAX + 1] = "";
    EtcdReply reply = {
        .is_good = end->error == 0 && end->status == 200,
        .is_too_long = end->error == -EFBIG,
        .why = why,
        .text = end->body,
        .size = end->size,
    };
    Source *s = userdata;

    s->call = NULL;
    if (end->error < 0 && !reply.is_too_long) {
        session_fail(s, end->why);
        return;
    }
    if (reply.is_too_long)
        (void)snprintf(why, sizeof(why), "%s", end->why);
    else if (!reply.is_good)
        reply.fault = etcd_answer_fault(end->status, end->body, end->size, why);
    if (!reply.is_good && reply.fault == ETCD_FAULT_TOKEN)
        session_fault(s, reply.fault, why);
    else
        s->on_reply(s, &reply);
    next(s);
}

static void post(Source *s, const char *path, HttpRequest *request, EtcdReplyFn on_reply)
{
    char url[FETCH_VALUE_MAX + 32];

    session_url(s, path, url, sizeof(url));
    request->url = url;
    request->timeout_usec = FETCH_CALL_USEC;
    request->on_end = on_end;
    request->userdata = s;
    s->on_reply = on_reply;
    if (http_post(s->http, request, &s->call) < 0)
        session_fail(s, strerror(ENOMEM));
}

void session_post(Source *s, const char *path, char *body, EtcdReplyFn on_reply)
{
    _cleanup_(freep) char *owned = body;
    HttpRequest request = {.body = owned, .token = s->token};

    if (owned)
        post(s, path, &request, on_reply);
    else
        session_fail(s, strerror(ENOMEM));
}

static void on_login(Source *s, const EtcdReply *reply)
{
    if (reply->is_good) {
        if (etcd_answer_token(reply->text, reply->size, &s->token) < 0)
            session_fail(s, "its answer to the login makes no sense");
    } else if (reply->fault == ETCD_FAULT_OPEN)
        s->is_open = true;
    else
        session_fail(s, reply->why);
}

static void login(Source *s)
{
    _cleanup_(secret_freep) Secret *body = NULL;
    HttpRequest request = {.body = NULL};
    int r = -EINVAL;

    if (s->setup.password)
        r = etcd_request_login(s->setup.config->user, s->setup.password, &body);
    request.secret = body;
    if (r < 0)
        session_fail(s, s->setup.password ? "the password cannot be sent: it is no printable text"
                                          : "User= needs a password: the credential "
                                            "nvme-keyd-fetch.password");
    else
        post(s, "/v3/auth/authenticate", &request, on_login);
}

/* Begins the first step that is not done. */
static void next(Source *s)
{
    if (s->pause_until == 0 && !s->call) {
        if (s->setup.config->user[0] && !s->token && !s->is_open)
            login(s);
        else if (!take_next(s))
            tell_next(s);
    }
    set_timer(s, next_usec(s));
}

static void check_times(Source *s, uint64_t now)
{
    if (s->watch && !s->is_watching && now >= s->watch_since + FETCH_CALL_USEC)
        session_fail(s, "it does not answer to a watch");
    else if (json_lines_is_inside(&s->lines) && now >= s->line_since + FETCH_LINE_USEC)
        session_fail(s, "it has stopped in the middle of a line");
    else if (s->is_watching && now >= s->watch_since + UP_USEC) {
        s->failures = 0;
        s->restarts = 0;
    }
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    uint64_t now = now_monotonic();
    Source *s = userdata;

    if (s->pause_until > 0 && now >= s->pause_until)
        s->pause_until = 0;
    if (s->pause_until == 0)
        check_times(s, now);
    next(s);
    return 0;
}

/* --- the source */

static Source *etcd_free(Source *s)
{
    if (!s)
        return NULL;
    if (s->http)
        stop(s);
    (void)sd_event_source_disable_unref(s->timer);
    (void)http_free(s->http);
    secret_free(s->token);
    free(s->report);
    free(s);
    return NULL;
}
DEFINE_CLEANUP(Source, etcd_free)

static void set_keys(Source *s, const FetchConfig *c)
{
    const struct {
        char *key;
        const char *end;
    } keys[] = {
        {s->envelopes, "envelopes/"},
        {s->presence, "presence"},
        {s->status, "status"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        (void)snprintf(keys[i].key, sizeof(EtcdKey), "%smachines/%s/%s", c->prefix, c->machine,
                       keys[i].end);
}

static const char *path_or_null(const FetchText path)
{
    return path[0] ? path : NULL;
}

static int etcd_new(const SourceSetup *setup, Source **ret)
{
    _cleanup_(etcd_freep) Source *s = calloc(1, sizeof(*s));
    const FetchConfig *c = setup->config;
    const HttpTls tls = {
        .ca = path_or_null(c->ca),
        .certificate = path_or_null(c->certificate),
        .key = path_or_null(c->key),
    };
    int r;

    if (!s)
        return -ENOMEM;
    s->setup = *setup;
    s->lines.max = FETCH_LINE_MAX;
    set_keys(s, c);
    /* The machines of a fleet divide themselves among the servers. */
    s->endpoint = random_below(c->n_endpoints);
    r = http_new(setup->event, &tls, &s->http);
    if (r == 0)
        r = sd_event_add_time(setup->event, &s->timer, CLOCK_MONOTONIC, 0, 10 * 1000, on_timer, s);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

static int etcd_report(Source *s, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    free(s->report);
    s->report = copy;
    s->is_reported = false;
    session_wake(s);
    return 0;
}

const SourceType source_etcd = {
    .name = "etcd",
    .new = etcd_new,
    .free = etcd_free,
    .report = etcd_report,
};
