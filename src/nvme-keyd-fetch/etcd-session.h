/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd-fetch/etcd-answer.h"
#include "nvme-keyd-fetch/http.h"
#include "nvme-keyd-fetch/json-lines.h"
#include "nvme-keyd-fetch/source.h"

/*
 * The source etcd. A session is one endpoint that works: login, then all envelopes that are new
 * (take), a watch, and presence and report while that goes on (tell). One call is under way at a
 * time, beside the watch. session_next() begins the first step that is not done, so what a session
 * has reached is in the members below and nowhere else. A failure ends the session; the next one
 * has another endpoint, after a pause, and goes on where the last one was.
 *
 *     source-etcd.c   the session: calls, failures, the timer
 *     etcd-take.c     envelopes
 *     etcd-tell.c     presence and report
 */

typedef struct Wanted {
    char name[FETCH_NAME_MAX + 1];
    uint64_t revision;
} Wanted;

typedef char EtcdKey[2 * FETCH_VALUE_MAX + FETCH_NAME_MAX + 32];

/* The end of a call that has one. */
typedef struct EtcdReply {
    bool is_good; /* HTTP status 200 */
    bool is_too_long;
    EtcdFault fault; /* otherwise */
    const char *why;
    const char *text;
    size_t size;
} EtcdReply;

typedef void (*EtcdReplyFn)(Source *s, const EtcdReply *reply);

struct Source {
    SourceSetup setup;
    Http *http;
    sd_event_source *timer;

    size_t endpoint;
    uint64_t pause_until; /* 0: in a session */
    Secret *token;        /* of the whole cluster */
    HttpCall *call;
    EtcdReplyFn on_reply;

    /* take */
    EtcdHeader seen;    /* everything until this revision was taken; 0: nothing */
    EtcdHeader listing; /* of the first page */
    size_t n_wanted;
    HttpCall *watch;
    uint64_t watch_since; /* when it was created, or asked for */
    uint64_t line_since;  /* when the line that is not complete yet began */
    JsonLines lines;

    /* tell */
    uint64_t lease;
    uint64_t alive_at; /* the time of the next sign of life */
    char *report;

    Wanted wanted[FETCH_ENVELOPES_MAX]; /* the last one is next */

    unsigned pages;    /* of names, in this list */
    unsigned failures; /* in a row */
    unsigned restarts; /* of the session, without a failure */
    EtcdKey envelopes; /* with a slash at the end */
    EtcdKey presence, status;
    EtcdKey page;                     /* where the next page of names begins */
    char watch_why[ETCD_WHY_MAX + 1]; /* why a line has ended the watch */
    bool watch_restarts;              /* and that this is no failure */
    bool is_open;                     /* the cluster wants no login */
    bool is_listing;
    bool is_watching;  /* the watch was created */
    bool is_present;   /* under this lease */
    bool may_not_tell; /* it was denied; said once */
    bool is_reported;
};

/* Posts body, which is freed, to path of the current endpoint. on_reply gets the reply, but for a
 * failure of the connection or of the token, which ends the session. If on_reply does not end the
 * session, the next step follows. NULL for body is -ENOMEM. */
void session_post(Source *s, const char *path, char *body, EtcdReplyFn on_reply);

/* The URL of path at the current endpoint. */
void session_url(const Source *s, const char *path, char *ret, size_t size);

/* Has session_next() called from the event loop, at once. */
void session_wake(Source *s);

/* Ends the session. The next one follows after a pause, elsewhere. why: a line for people. */
void session_fail(Source *s, const char *why);

/* The same at once and with the same endpoint, because nothing is wrong with it. */
void session_restart(Source *s, const char *why);

/* Call the session off because of a fault that a reply or a watch has named. */
void session_fault(Source *s, EtcdFault fault, const char *why);

/* Begins to list, to fetch or to watch if that is not done. Returns false if nothing is left. */
bool take_next(Source *s);
/* Ends the watch. What was not fetched will be listed again. */
void take_stop(Source *s);

/* Begins the next sign of life or report that is due. */
void tell_next(Source *s);
