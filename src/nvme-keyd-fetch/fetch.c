/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/log.h"
#include "nvme-keyd-fetch/envelopes.h"
#include "nvme-keyd-fetch/fetch.h"
#include "nvme-keyd-fetch/http.h"
#include "nvme-keyd-fetch/report.h"
#include "nvme-keyd-fetch/source.h"

/*
 * Between a source and the inbox: envelopes go one way, as they come, and reports the other. A
 * report is made a moment after something has changed, and every minute from the state of its
 * pairs; it is sent only if it differs from the last one.
 */

static const SourceType *const types[] = {&source_etcd};

typedef struct Fetch {
    const FetchConfig *config;
    const SourceType *type;
    Source *source;
    FetchInbox inbox;
    Envelopes *envelopes;
    sd_event *event;
    sd_event_source *inotify, *timer;
    uint64_t looked_at; /* when nvme-keyd was asked */
    json_object *pairs;
    char *reported;
} Fetch;

static void fetch_done(Fetch *f)
{
    if (f->source)
        (void)f->type->free(f->source);
    (void)sd_event_source_disable_unref(f->inotify);
    (void)sd_event_source_disable_unref(f->timer);
    (void)envelopes_free(f->envelopes);
    fetch_inbox_close(&f->inbox);
    json_object_put(f->pairs);
    free(f->reported);
    sd_event_unref(f->event);
}

/* --- reports */

static void plan_report(Fetch *f, uint64_t usec)
{
    uint64_t at;

    /* An earlier one stays. */
    if (sd_event_source_get_time(f->timer, &at) < 0 || at > usec)
        (void)sd_event_source_set_time(f->timer, usec);
    (void)sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

static void plan_soon(Fetch *f)
{
    f->looked_at = 0;
    plan_report(f, now_monotonic() + FETCH_REPORT_USEC);
}

static void report(Fetch *f)
{
    _cleanup_(freep) char *text = NULL;
    int r = report_format(f->envelopes, f->pairs, &text);

    if (r == 0 && f->reported && strcmp(text, f->reported) == 0)
        return;
    if (r == 0)
        r = f->type->report(f->source, text);
    if (r < 0) {
        (void)log_warning_errno(r, "Cannot report the state of this machine");
        return;
    }
    free(f->reported);
    f->reported = TAKE_PTR(text);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
    uint64_t now = now_monotonic();
    Fetch *f = userdata;

    (void)envelopes_look(f->envelopes);
    if (strcmp(f->config->service, "no") != 0 &&
        (f->looked_at == 0 || now >= f->looked_at + FETCH_LOOK_USEC)) {
        json_object_put(f->pairs);
        f->pairs = report_read_pairs(f->config->service);
        f->looked_at = now;
    }
    report(f);
    (void)sd_event_source_set_time(f->timer, UINT64_MAX);
    plan_report(f, now + FETCH_LOOK_USEC);
    return 0;
}

static int on_inotify(_unused_ sd_event_source *s, _unused_ const struct inotify_event *e,
                      void *userdata)
{
    Fetch *f = userdata;

    if (envelopes_look(f->envelopes) > 0)
        plan_soon(f);
    return 0;
}

/* --- what a source finds */

static bool on_has(const char *name, uint64_t revision, void *userdata)
{
    Fetch *f = userdata;

    return envelopes_has(f->envelopes, name, revision);
}

static int on_pass(const char *name, uint64_t revision, const void *data, size_t size,
                   void *userdata)
{
    Fetch *f = userdata;
    int r = envelopes_pass(f->envelopes, name, revision, data, size);

    if (r < 0)
        return log_error_errno(r, "Cannot put the envelope %s into %s", name, f->config->inbox);
    log_info("The envelope %s has come, revision %llu", name, (unsigned long long)revision);
    plan_soon(f);
    return 0;
}

static void on_refuse(const char *name, uint64_t revision, const char *why, void *userdata)
{
    Fetch *f = userdata;

    log_warning("Refused: the envelope %s, revision %llu: %s", name, (unsigned long long)revision,
                why);
    envelopes_refuse(f->envelopes, name, revision, why);
    plan_soon(f);
}

static void on_state(const char *line, _unused_ void *userdata)
{
    (void)sd_notifyf(0, "STATUS=%s", line);
}

/* --- the loop */

static const SourceType *find_type(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
    return NULL;
}

static int add_signals(sd_event *event)
{
    sigset_t mask;
    int r;

    if (sigemptyset(&mask) < 0 || sigaddset(&mask, SIGTERM) < 0 || sigaddset(&mask, SIGINT) < 0 ||
        sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
        return -errno;
    r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
    return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int set_up_loop(Fetch *f)
{
    int r = sd_event_default(&f->event);

    if (r >= 0)
        r = add_signals(f->event);
    if (r >= 0)
        r = sd_event_add_inotify(f->event, &f->inotify, f->config->inbox,
                                 IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE,
                                 on_inotify, f);
    if (r >= 0)
        r = sd_event_add_time(f->event, &f->timer, CLOCK_MONOTONIC,
                              now_monotonic() + FETCH_REPORT_USEC, 0, on_timer, f);
    if (r >= 0)
        r = sd_event_set_watchdog(f->event, true);
    return r < 0 ? r : 0;
}

int fetch_run(const FetchConfig *config, const Secret *password)
{
    _cleanup_(fetch_done) Fetch f = {
        .config = config,
        .type = find_type(config->source),
        .inbox = {.fd = -EBADF},
    };
    const SourceHandler handler = {
        .has = on_has,
        .pass = on_pass,
        .refuse = on_refuse,
        .state = on_state,
        .userdata = &f,
    };
    SourceSetup setup = {.config = config, .password = password, .handler = &handler};
    int r;

    if (!f.type)
        return log_error_errno(-EINVAL, "Type= cannot be \"%s\": give etcd", config->source);
    r = fetch_inbox_open(config->inbox, &f.inbox);
    if (r < 0)
        return log_error_errno(r, "Cannot use the inbox %s", config->inbox);
    r = envelopes_new(&f.inbox, &f.envelopes);
    if (r == 0)
        r = set_up_loop(&f);
    setup.event = f.event;
    if (r == 0)
        r = f.type->new (&setup, &f.source);
    if (r < 0)
        return log_error_errno(r, "Cannot start");
    (void)sd_notify(0, "READY=1");
    r = sd_event_loop(f.event);
    return r < 0 ? log_error_errno(r, "The event loop has failed") : 0;
}
