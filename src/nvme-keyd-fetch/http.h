/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "basic/macro.h"
#include "basic/secret.h"

/* HTTP POST of JSON by libcurl, on an event loop. */
typedef struct Http Http;
typedef struct HttpCall HttpCall;

/* Paths of PEM files; NULL for the CAs of the system, and for no certificate. Borrowed. */
typedef struct HttpTls {
    const char *ca, *certificate, *key;
} HttpTls;

/* To be called once, before anything else uses libcurl: it wipes what libcurl frees, because that
 * copies tokens and passwords. Returns -ENOMEM. */
int http_init(void) _must_check_;

int http_new(sd_event *event, const HttpTls *tls, Http **ret) _must_check_;
/* All calls must have ended. Accepts NULL; returns NULL. */
Http *http_free(Http *h);
DEFINE_CLEANUP(Http, http_free)

/* The end of a call. body: what was collected; error: 0, or what kept the answer from being whole:
 *    -EFBIG           it was too long
 *    -EBADMSG         it was cut
 *    -EKEYREJECTED    the certificate of the server is not accepted
 *    -ETIMEDOUT, -EHOSTUNREACH, -ECONNREFUSED, -EIO ...
 * why: a line for people if error is set. All are borrowed. */
typedef struct HttpEnd {
    int error;
    unsigned status; /* 0 if there was none */
    const char *why;
    const char *body;
    size_t size;
} HttpEnd;

/* Everything is borrowed, and copied where it is needed longer. */
typedef struct HttpRequest {
    const char *url;
    const char *body;      /* or, if that is NULL: */
    const Secret *secret;  /* a text with a NUL, which is sent from locked memory */
    const Secret *token;   /* of the Authorization header, or NULL */
    uint64_t timeout_usec; /* for the whole answer; 0: none */
    /* Gets each part of an answer of status 200, which is then not collected. It must neither begin
     * nor end calls. A negative result ends the call with it. NULL for none. */
    int (*on_data)(const char *data, size_t size, void *userdata);
    /* The call is over, and freed afterwards. */
    void (*on_end)(const HttpEnd *end, void *userdata);
    void *userdata;
} HttpRequest;

/* on_end is called from the event loop, never from here. Returns -ENOMEM. */
int http_post(Http *h, const HttpRequest *request, HttpCall **ret) _must_check_;

/* Ends a call without on_end. Accepts NULL; returns NULL. */
HttpCall *http_cancel(HttpCall *c);
