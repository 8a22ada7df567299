/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/log.h"
#include "basic/text.h"
#include "nvme-keyd-fetch/etcd-request.h"
#include "nvme-keyd-fetch/etcd-session.h"
#include "nvme-keyd-fetch/name.h"

/*
 * Envelopes are listed by name at first, fetched one by one, so that an answer is never longer than
 * one envelope, and then followed by a watch from the revision of the list on. A later session goes
 * on with a watch after the last revision that was taken. If that is compacted, or the cluster was
 * restored from a backup, envelopes are listed again, and those fetched that have changed.
 */

/* The name of an envelope, or NULL for another key. */
static const char *name_of(const Source *s, const EtcdItem *item)
{
    const char *name = text_after(item->key, s->envelopes);

    if (name && fetch_name_is_valid(name))
        return name;
    log_warning("Ignored: %s, whose name cannot be that of an envelope", item->key);
    return NULL;
}

/* Passes an envelope on, unless that is done. A key that is gone means nothing: only an envelope
 * can remove a PSK. */
static int take(Source *s, const EtcdItem *item)
{
    const SourceHandler *h = s->setup.handler;
    const char *name = name_of(s, item);

    if (!name || !item->value || h->has(name, item->revision, h->userdata))
        return 0;
    if (item->value_size > FETCH_ENVELOPE_MAX) {
        h->refuse(name, item->revision, "it is too long for an envelope", h->userdata);
        return 0;
    }
    return h->pass(name, item->revision, item->value, item->value_size, h->userdata);
}

/* --- list */

static int want(const EtcdItem *item, void *userdata)
{
    Source *s = userdata;
    const SourceHandler *h = s->setup.handler;
    const char *name = name_of(s, item);

    /* The next page begins after this one. No name has a control character. */
    (void)snprintf(s->page, sizeof(s->page), "%s\x01", item->key);
    if (!name || h->has(name, item->revision, h->userdata))
        return 0;
    if (s->n_wanted == FETCH_ENVELOPES_MAX) {
        log_warning("Ignored: %s, because there are more than %d envelopes", item->key,
                    FETCH_ENVELOPES_MAX);
        return 0;
    }
    (void)snprintf(s->wanted[s->n_wanted].name, sizeof(s->wanted[0].name), "%s", name);
    s->wanted[s->n_wanted++].revision = item->revision;
    return 0;
}

static void on_page(Source *s, const EtcdReply *reply)
{
    EtcdHeader header;
    bool more = false;

    if (!reply->is_good) {
        session_fault(s, reply->fault, reply->why);
        return;
    }
    if (etcd_answer_range(reply->text, reply->size, want, s, &header, &more) < 0) {
        session_fail(s, "its list of envelopes makes no sense");
        return;
    }
    if (more && ++s->pages == FETCH_PAGES_MAX) {
        session_fail(s, "its list of envelopes does not end");
        return;
    }
    if (s->listing.revision == 0)
        s->listing = header;
    if (more)
        return;
    s->seen = s->listing;
    s->is_listing = false;
}

static void list(Source *s)
{
    if (!s->is_listing) {
        s->is_listing = true;
        s->listing = (EtcdHeader){.revision = 0};
        s->n_wanted = 0;
        s->pages = 0;
        (void)snprintf(s->page, sizeof(s->page), "%s", s->envelopes);
    }
    session_post(s, "/v3/kv/range",
                 etcd_request_range(s->page, s->envelopes, s->listing.revision, FETCH_PAGE, true),
                 on_page);
}

/* --- fetch */

static int on_item(const EtcdItem *item, void *userdata)
{
    return take(userdata, item);
}

static void on_envelope(Source *s, const EtcdReply *reply)
{
    const SourceHandler *h = s->setup.handler;
    const Wanted *w = &s->wanted[s->n_wanted - 1];
    EtcdHeader header;
    bool more;
    int r = 0;

    if (reply->is_too_long)
        h->refuse(w->name, w->revision, "it is too long for an envelope", h->userdata);
    else if (!reply->is_good) {
        session_fault(s, reply->fault, reply->why);
        return;
    } else
        r = etcd_answer_range(reply->text, reply->size, on_item, s, &header, &more);
    if (r < 0) {
        session_fail(s, r == -EBADMSG || r == -EFBIG ? "an envelope in its answer makes no sense"
                                                     : "an envelope cannot be put into the inbox");
        return;
    }
    s->n_wanted--;
}

static void fetch(Source *s)
{
    EtcdKey key;
    int n = snprintf(key, sizeof(key), "%s%s", s->envelopes, s->wanted[s->n_wanted - 1].name);

    if (n < 0 || (size_t)n >= sizeof(key))
        session_fail(s, "the name of an envelope is too long");
    else
        session_post(s, "/v3/kv/range", etcd_request_get(key), on_envelope);
}

/* --- watch */

/* Notes why a line ends the watch, which must not be ended from here. Returns -ECANCELED. */
static int end_watch(Source *s, bool restarts, const char *why)
{
    s->watch_restarts = restarts;
    (void)snprintf(s->watch_why, sizeof(s->watch_why), "%s", why);
    return -ECANCELED;
}

typedef struct Line {
    Source *source;
    uint64_t revision; /* the highest of its events */
} Line;

static int on_event(const EtcdItem *item, void *userdata)
{
    Line *line = userdata;

    line->revision = CONST_MAX(line->revision, item->revision);
    return take(line->source, item);
}

/* A cluster that was restored, or another one, has not got what we have seen, and would be silent
 * until it has as many revisions. */
static int on_created(Source *s, const EtcdHeader *header)
{
    if (header->cluster != s->seen.cluster || header->revision < s->seen.revision) {
        s->seen = (EtcdHeader){.revision = 0};
        return end_watch(s, true, "the cluster is at an older revision, or is another one");
    }
    s->is_watching = true;
    s->watch_since = now_monotonic();
    session_wake(s);
    return 0;
}

static int on_line(const char *text, size_t size, void *userdata)
{
    Line line = {.source = userdata};
    Source *s = userdata;
    EtcdWatch w;
    int r = etcd_answer_watch(text, size, on_event, &line, &w);

    if (r == -EFBIG) {
        s->seen = (EtcdHeader){.revision = 0};
        return end_watch(s, false, "its answer to the watch has too many values");
    }
    if (r == -EBADMSG)
        return end_watch(s, false, "its answer to the watch makes no sense");
    if (r < 0) {
        s->seen = (EtcdHeader){.revision = 0};
        return end_watch(s, false, "an envelope cannot be put into the inbox");
    }
    switch (w.kind) {
    case ETCD_WATCH_CREATED:
        return on_created(s, &w.header);
    case ETCD_WATCH_EVENTS:
        /* Not that of the header, which a server that has more to send is ahead with. */
        s->seen.revision = CONST_MAX(s->seen.revision, line.revision);
        return 0;
    case ETCD_WATCH_PROGRESS:
        s->seen.revision = CONST_MAX(s->seen.revision, w.header.revision);
        return 0;
    case ETCD_WATCH_COMPACTED:
        s->seen = (EtcdHeader){.revision = 0};
        return end_watch(s, true, "the revision to go on with is compacted");
    case ETCD_WATCH_CANCELED:
    default:
        return end_watch(s, false, w.why);
    }
}

static int on_data(const char *data, size_t size, void *userdata)
{
    Source *s = userdata;
    bool has_newline = memchr(data, '\n', size);
    int r;

    if (!json_lines_is_inside(&s->lines) || has_newline)
        s->line_since = now_monotonic();
    r = json_lines_feed(&s->lines, data, size, on_line, s);
    if (r == -EFBIG) {
        s->seen = (EtcdHeader){.revision = 0};
        return end_watch(s, false, "its answer to the watch is too long");
    }
    return r;
}

static void on_watch_end(const HttpEnd *end, void *userdata)
{
    char why[ETCD_WHY_MAX + 1];
    Source *s = userdata;
    bool inside = json_lines_is_inside(&s->lines);
    EtcdFault fault;

    s->watch = NULL;
    if (end->error == -ECANCELED && s->watch_restarts)
        session_restart(s, s->watch_why);
    else if (end->error == -ECANCELED)
        session_fault(s, etcd_fault_of(s->watch_why), s->watch_why);
    else if (end->error == 0 && end->status != 200) {
        fault = etcd_answer_fault(end->status, end->body, end->size, why);
        session_fault(s, fault, why);
    } else if (inside)
        session_fail(s, "its answer to the watch ended in the middle of a line");
    else
        session_fail(s, end->error < 0 ? end->why : "it has ended the watch");
}

static void watch(Source *s)
{
    _cleanup_(freep) char *body = etcd_request_watch(s->envelopes, s->seen.revision + 1);
    char url[FETCH_VALUE_MAX + 32];
    const HttpRequest request = {
        .url = url,
        .body = body,
        .token = s->token,
        .on_data = on_data,
        .on_end = on_watch_end,
        .userdata = s,
    };

    session_url(s, "/v3/watch", url, sizeof(url));
    s->watch_since = now_monotonic();
    if (!body || http_post(s->http, &request, &s->watch) < 0)
        session_fail(s, strerror(ENOMEM));
}

bool take_next(Source *s)
{
    if (s->is_listing || s->seen.revision == 0)
        list(s);
    else if (s->n_wanted > 0)
        fetch(s);
    else if (!s->watch)
        watch(s);
    else
        return !s->is_watching;
    return true;
}

void take_stop(Source *s)
{
    s->watch = http_cancel(s->watch);
    s->is_watching = false;
    json_lines_reset(&s->lines);
    if (s->is_listing || s->n_wanted > 0) {
        s->seen = (EtcdHeader){.revision = 0};
        s->is_listing = false;
        s->n_wanted = 0;
    }
}
