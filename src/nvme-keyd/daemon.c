/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "credstore/seal/limits.h"
#include "nvme-keyd/api/methods.h"
#include "nvme-keyd/authorize.h"
#include "nvme-keyd/controller-timer.h"
#include "nvme-keyd/daemon-log.h"
#include "nvme-keyd/daemon.h"
#include "nvme-keyd/manager/envelopes.h"
#include "nvme-keyd/manager/follow.h"
#include "nvme-keyd/manager/rotation.h"
#include "nvme-keyd/notifier.h"
#include "nvme-keyd/refusals.h"
#include "nvme-keyd/retire-timer.h"
#include "nvme-keyd/tlshd/watch.h"
#include "nvme-keyd/upcall/server.h"

/* Pause between retries when store, ring or disk refuse. It doubles: at boot a TPM may appear a
 * moment later, and a TPM that never appears should cost little. */
#define RETRY_USEC (10 * USEC_PER_SEC)
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)
/* With --preload, because a boot waits for it. */
#define PRELOAD_RETRY_USEC (USEC_PER_SEC / 5)
/* Delay before the number of dropped log lines is logged, and between two attempts. */
#define GAP_USEC USEC_PER_SEC

struct Daemon {
    const char *config_path;
    const char *state_dir;
    sd_event *event;
    Events *events;
    Manager *manager;
    VarlinkServer *varlink;
    UpcallServer *upcall;
    TlshdWatch *tlshd;
    Notifier *notifier;
    Refusals *refusals;
    RetireTimer *retire;
    ControllerTimer *controllers;
    sd_event_source *idle;
    sd_event_source *again;
    sd_event_source *resume; /* resumes calls that waited for the store */
    sd_event_source *gap;    /* logs the number of dropped log lines */
    sd_event_source *gap_check;
    sd_event_source *expiry; /* of the next key */
    uint64_t retry_usec;     /* until the next retry */
    DaemonLog log;
    bool retry;   /* publishing has to be retried */
    bool ready;   /* READY=1 was sent */
    bool preload; /* daemon_preload() has started it */
    int result;   /* of the last reconcile() */
    ReconcileResult sync;
};

Daemon *daemon_free(Daemon *d)
{
    if (!d)
        return NULL;
    sd_event_source_disable_unref(d->idle);
    retire_timer_free(d->retire);
    controller_timer_free(d->controllers);
    sd_event_source_disable_unref(d->again);
    sd_event_source_disable_unref(d->resume);
    sd_event_source_disable_unref(d->gap);
    sd_event_source_disable_unref(d->gap_check);
    sd_event_source_disable_unref(d->expiry);
    tlshd_watch_free(d->tlshd);
    notifier_free(d->notifier);
    upcall_server_free(d->upcall);
    varlink_server_free(d->varlink);
    refusals_free(d->refusals);
    manager_free(d->manager);
    events_free(d->events);
    sd_event_unref(d->event);
    daemon_log_done(&d->log);
    free(d);
    return NULL;
}

static void read_credentials(const Daemon *d)
{
    int r = manager_read_handed_in(d->manager);

    if (r < 0)
        (void)log_error_errno(r, "Cannot read the credentials");
    daemon_log_problems(d->manager);
}

static void keep(const Daemon *d)
{
    int r = publisher_keep(manager_publisher(d->manager));

    if (r < 0 && r != -ENOKEY)
        (void)log_error_errno(r, "Cannot remove the timeouts of the keys in the keyring");
}

/* Reconciles the ring. Failures are logged and retried, not fatal: a daemon that can say why is
 * more useful than none. --preload changes no store and logs its result at the end. */
static void reconcile(Daemon *d)
{
    int r =
        d->preload ? manager_reconcile(d->manager, &d->sync) : manager_sync(d->manager, &d->sync);

    d->result = r;
    publisher_take_changes(manager_publisher(d->manager), &d->sync);
    if (!d->preload)
        daemon_log_sync(&d->log, d->manager, r, &d->sync);
    if (r > 0)
        return;
    if (r < 0 && !manager_store(d->manager))
        keep(d);
    /* A missing ring is not retried: a unit starts when it appears, with an event of its own. */
    d->retry = r < 0 && r != -ENOKEY;
}

/* The service is ready when the keys are in the ring, or cannot be published for now. */
static void become_ready(Daemon *d)
{
    if (!d->ready)
        notifier_ready(d->notifier);
    d->ready = true;
}

static void on_activity(void *userdata);

/* Runs from the event loop, because the call that caused the event must not be resumed inside
 * itself. */
static int on_resume(_unused_ sd_event_source *source, void *userdata)
{
    Daemon *d = userdata;

    if (d->upcall)
        upcall_server_resume(d->upcall);
    varlink_server_resume(d->varlink);
    on_activity(d);
    return 0;
}

/* Publishes first, so that waiting calls see the keys in the ring. */
static void on_vault(VaultEvent event, void *userdata)
{
    Daemon *d = userdata;

    if (!d->preload)
        daemon_log_store(&d->log, d->manager, event);
    if (event == VAULT_OPENED)
        reconcile(d);
    else if (event == VAULT_FAILED)
        d->retry = true;
    if (event == VAULT_FAILED || event == VAULT_SLOW)
        keep(d);
    /* Each slot may take up to SEAL_TIMEOUT_USEC, and there may be several. */
    if (event == VAULT_SLOW && !d->ready)
        notifier_extend(d->notifier, SEAL_TIMEOUT_USEC);
    if (event == VAULT_OPENED || event == VAULT_CREATED || event == VAULT_FAILED)
        become_ready(d);
    (void)sd_event_source_set_enabled(d->resume, SD_EVENT_ONESHOT);
}

static void arm(sd_event_source *source, uint64_t usec)
{
    (void)sd_event_source_set_enabled(source, usec > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    if (usec > 0)
        (void)sd_event_source_set_time(source, usec);
}

/* A retry that is planned already is not put off by later failures. */
static void plan_retry(Daemon *d, bool wanted)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(d->again, &enabled);
    if (!wanted) {
        arm(d->again, 0);
        d->retry_usec = RETRY_USEC;
    } else if (enabled == SD_EVENT_OFF) {
        arm(d->again, now_monotonic() + d->retry_usec);
        d->retry_usec = 2 * d->retry_usec < RETRY_MAX_USEC ? 2 * d->retry_usec : RETRY_MAX_USEC;
    }
}

static void notify_status(const Daemon *d)
{
    char text[64] = "Opening the store";

    if (!vault_is_opening(manager_vault(d->manager)))
        (void)snprintf(text, sizeof(text), "%zu keys", key_table_size(manager_keys(d->manager)));
    notifier_status(d->notifier, text);
}

/* True if reconcile() has to be tried again. */
static bool has_failed(const Daemon *d)
{
    ManagerDue due;

    manager_due(d->manager, &due);
    return d->retry || due.overdue || publisher_is_stale(manager_publisher(d->manager)) ||
           publisher_has_unpublished(manager_publisher(d->manager));
}

/* False if the daemon may exit. A missing ring is no reason to stay: an event starts the service
 * when the ring appears. */
static bool is_needed(const Daemon *d)
{
    const Vault *vault = manager_vault(d->manager);

    return varlink_server_connections(d->varlink) > 0 ||
           (d->upcall && upcall_server_connections(d->upcall) > 0) || has_failed(d) ||
           vault_has_to_count(vault) || manager_deadline(d->manager) > 0 ||
           vault_is_working(vault) || vault_is_unlocked_by_hand(vault) ||
           follow_is_busy(manager_follow(d->manager)) || manager_is_taking(d->manager) ||
           guard_is_looking(manager_guard(d->manager)) || tlshd_watch_is_busy(d->tlshd) ||
           notifier_is_behind(d->notifier) ||
           /* During a shutdown no new instance would be started to answer the kernel. */
           publisher_provision(manager_publisher(d->manager)) == PROVISION_ON_DEMAND;
}

static void plan_idle_exit(Daemon *d)
{
    uint64_t span = manager_config(d->manager)->idle_exit_usec;

    arm(d->idle, span == UINT64_MAX ? 0 : now_monotonic() + span);
}

/* The end of --preload. */
static int exit_preload(const Daemon *d, bool signalled)
{
    return sd_event_exit(
        d->event, (int)daemon_log_result(d->manager, d->state_dir, d->result, &d->sync, signalled));
}

/* Waits for a store that is being opened, that another process has open, or whose TPM has no driver
 * yet. */
static void plan_preload(const Daemon *d)
{
    const Vault *vault = manager_vault(d->manager);

    if (vault_is_opening(vault))
        return;
    if (vault_error(vault) == -EBUSY || vault_error(vault) == -ENODEV)
        arm(d->again, now_monotonic() + PRELOAD_RETRY_USEC);
    else
        (void)exit_preload(d, false);
}

/* Restarts the idle time and updates all deadlines after any event. */
static void on_activity(void *userdata)
{
    Daemon *d = userdata;

    if (d->preload) {
        plan_preload(d);
        return;
    }
    daemon_log_overridden(d->manager);
    daemon_log_steps(d->manager);
    daemon_log_ring(d->manager);
    daemon_log_losses(d->manager);
    daemon_log_expired(d->manager);
    arm(d->expiry, manager_expiry(d->manager));
    daemon_log_clock(&d->log, d->manager);
    vault_count(manager_vault(d->manager));
    follow_update(manager_follow(d->manager));
    tlshd_watch_update(d->tlshd, publisher_ring_serial(manager_publisher(d->manager)),
                       manager_config(d->manager)->restart_tlshd);
    retire_timer_update(d->retire);
    guard_update(manager_guard(d->manager), manager_config(d->manager)->guard);
    plan_retry(d, has_failed(d) || vault_has_to_count(manager_vault(d->manager)));
    plan_idle_exit(d);
    notify_status(d);
}

static void on_varlink_activity(VarlinkServer *s, void *userdata)
{
    (void)s;
    on_activity(userdata);
}

static void on_refused(const struct ucred *peer, const char *method, void *userdata)
{
    const Daemon *d = userdata;

    refusals_add(d->refusals, peer->uid, method);
}

/* Checked at each expiry: not everything that keeps the daemon running sends an event when it ends.
 * With --preload it is the deadline. */
static int on_idle(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Daemon *d = userdata;

    if (d->preload)
        return exit_preload(d, false);
    if (is_needed(d)) {
        plan_idle_exit(d);
        return 0;
    }
    /* A later connection waits in the queue of the socket and starts the next instance. */
    return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void on_due(void *userdata)
{
    reconcile(userdata);
    on_activity(userdata);
}

static void on_guard(GuardEvent event, void *userdata)
{
    Daemon *d = userdata;

    daemon_log_guard(d->manager, event);
    if (event == GUARD_CHANGED)
        on_due(d);
}

static int on_again(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    Daemon *d = userdata;

    /* A lagging counter is no reason to read the whole ring. */
    if (has_failed(d))
        reconcile(d);
    on_activity(d);
    return 0;
}

static int on_expiry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    on_activity(userdata);
    return 0;
}

/* Checked after each event: without it, a gap would stay unreported until the next message. */
static int on_dispatched(_unused_ sd_event_source *source, void *userdata)
{
    const Daemon *d = userdata;
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(d->gap, &enabled);
    if (log_has_gap() && enabled == SD_EVENT_OFF)
        arm(d->gap, now_monotonic() + GAP_USEC);
    return 0;
}

static int on_gap(_unused_ sd_event_source *source, _unused_ uint64_t usec, _unused_ void *userdata)
{
    (void)log_report_dropped();
    return 0;
}

/* A reload with mistakes changes nothing, because the administrator sees the result of the reload.
 * At start-up there is no older configuration to fall back to, so the valid lines count. */
static void reload_config(const Daemon *d)
{
    static const LogFields invalid = {.message_id = MESSAGE_CONFIG_INVALID};
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config config;
    bool refused;

    daemon_load_config(d->config_path, &config, &problems);
    refused = problems.n > problems.n_unknown;
    if (refused)
        (void)log_full(
            LOG_ERR, 0, &invalid,
            "The configuration has mistakes, so the previous one stays in force: correct "
            "the mistakes and reload");
    else
        manager_set_config(d->manager, &config);
    manager_set_config_problems(d->manager, &problems, refused);
}

/* From here on no request is answered, and during a shutdown no new instance starts. */
static int on_end(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si,
                  void *userdata)
{
    Daemon *d = userdata;
    int r = manager_leave(d->manager);

    if (r < 0 && r != -ENOKEY)
        (void)log_error_errno(r, "Cannot make on-demand keys resident before exiting");
    return d->preload ? exit_preload(d, true) : sd_event_exit(d->event, 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    Daemon *d = userdata;

    if (d->preload)
        return on_end(source, si, userdata);
    notifier_reloading(d->notifier);
    reload_config(d);
    daemon_log_provision(d->manager);
    read_credentials(d);
    reconcile(d);
    notifier_ready(d->notifier);
    on_activity(d);
    return 0;
}

static int take_socket(Daemon *d, int fd, const char *name)
{
    bool is_varlink = strcmp(name, NAMES_FD_VARLINK) == 0;
    bool is_request = strcmp(name, NAMES_FD_REQUEST) == 0;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return log_error_errno(-errno, "Cannot use the socket %s", name);
    if (is_varlink && sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
        return varlink_server_listen(d->varlink, fd);
    if (is_request && !d->upcall && sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) > 0)
        return upcall_server_new(d->event, fd, d->manager, on_activity, d, &d->upcall);
    return log_error_errno(-EINVAL,
                           "Unexpected socket \"%s\": need \"" NAMES_FD_VARLINK
                           "\", a stream socket, or \"" NAMES_FD_REQUEST "\", a seqpacket socket",
                           name);
}

static int take_sockets(Daemon *d)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(true, &names), r = 0;

    if (n <= 0)
        return log_error_errno(n < 0 ? n : -EDESTADDRREQ,
                               "No sockets were passed: start nvme-keyd.socket instead");
    for (int i = 0; i < n && r >= 0; i++)
        r = take_socket(d, SD_LISTEN_FDS_START + i, names[i]);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return r;
}

static int setup_signals(Daemon *d)
{
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* The event loop needs it on kernels without pidfds. */
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    if ((r = sd_event_add_signal(d->event, NULL, SIGTERM, on_end, d)) < 0 ||
        (r = sd_event_add_signal(d->event, NULL, SIGINT, on_end, d)) < 0)
        return r;
    return sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d);
}

static bool look_tlshd(void *userdata, TlshdStatus *ret)
{
    Daemon *d = userdata;

    return manager_look_tlshd(d->manager, ret);
}

static void on_event(void *userdata)
{
    const Daemon *d = userdata;

    varlink_server_wake(d->varlink);
}

static void on_attempt(const AttemptResult *r, void *userdata)
{
    daemon_log_attempt(((const Daemon *)userdata)->manager, r);
}

static int setup(Daemon *d, const Config *config, const char *state_dir)
{
    static const VarlinkServiceInfo info = {"nvme-keyd", "nvme-keyd", PROJECT_VERSION,
                                            "man:nvme-keyd.service(8)"};
    int r;

    if ((r = setup_signals(d)) < 0 ||
        (r = sd_event_add_time(d->event, &d->idle, CLOCK_MONOTONIC, 0, 0, on_idle, d)) < 0 ||
        (r = sd_event_add_time(d->event, &d->again, CLOCK_MONOTONIC, 0, 0, on_again, d)) < 0 ||
        (r = sd_event_add_defer(d->event, &d->resume, on_resume, d)) < 0 ||
        (r = sd_event_add_time(d->event, &d->gap, CLOCK_MONOTONIC, 0, 0, on_gap, d)) < 0 ||
        (r = sd_event_add_time(d->event, &d->expiry, CLOCK_REALTIME, 0, 0, on_expiry, d)) < 0 ||
        (r = sd_event_add_post(d->event, &d->gap_check, on_dispatched, d)) < 0 ||
        (r = notifier_new(d->event, &d->notifier)) < 0 ||
        (r = events_new(on_event, d, &d->events)) < 0 ||
        (r = manager_new(d->event, config, state_dir, d->events, &d->manager)) < 0 ||
        (r = retire_timer_new(d->event, d->manager, on_due, d, &d->retire)) < 0 ||
        (r = controller_timer_new(d->event, d->manager, &d->controllers)) < 0 ||
        (r = tlshd_watch_new(d->event, look_tlshd, d, &d->tlshd)) < 0 ||
        (r = refusals_new(d->event, &d->refusals)) < 0 ||
        (r = varlink_server_new(d->event, &info, &d->varlink)) < 0 ||
        (r = varlink_server_add_interface(d->varlink, &manager_interface, d->manager)) < 0)
        return r;
    manager_set_handler(d->manager, on_vault, d);
    guard_set_handler(manager_guard(d->manager), on_guard, d);
    follow_set_report(manager_follow(d->manager), on_attempt, d);
    (void)sd_event_source_set_enabled(d->resume, SD_EVENT_OFF);
    arm(d->idle, 0);
    arm(d->again, 0);
    arm(d->gap, 0);
    arm(d->expiry, 0);
    varlink_server_set_authorize(d->varlink, authorize_peer, NULL);
    varlink_server_set_idle_hook(d->varlink, on_varlink_activity, d);
    varlink_server_set_refused_hook(d->varlink, on_refused, d);
    return 0;
}

int daemon_new(sd_event *event, const Config *config, const char *config_path,
               const char *state_dir, Daemon **ret)
{
    _cleanup_(daemon_freep) Daemon *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->event = sd_event_ref(event);
    d->config_path = config_path;
    d->state_dir = state_dir;
    d->retry_usec = RETRY_USEC;
    r = setup(d, config, state_dir);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(d);
    return 0;
}

void daemon_start(Daemon *d)
{
    daemon_log_provision(d->manager);
    read_credentials(d);
    reconcile(d);
    if (!vault_is_opening(manager_vault(d->manager)))
        become_ready(d);
    controller_timer_start(d->controllers);
    on_activity(d);
}

void daemon_preload(Daemon *d, uint64_t timeout_usec)
{
    d->preload = true;
    arm(d->idle, now_monotonic() + timeout_usec);
    /* Without a ring there is no need to wait for a TPM. */
    if (publisher_ring(manager_publisher(d->manager), &d->result))
        reconcile(d);
    on_activity(d);
}

int daemon_run(const char *config_path, const char *state_dir)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(daemon_freep) Daemon *d = NULL;
    _cleanup_(config_problems_done) ConfigProblems problems = {.n = 0};
    Config config;
    int r;

    daemon_load_config(config_path, &config, &problems);
    r = sd_event_default(&event);
    if (r >= 0)
        r = daemon_new(event, &config, config_path, state_dir, &d);
    if (r < 0)
        return log_error_errno(r, "Cannot set up");
    manager_set_config_problems(d->manager, &problems, false);
    r = take_sockets(d);
    if (r < 0)
        return r;
    daemon_start(d);
    r = sd_event_loop(event);
    notifier_stopping(d->notifier);
    return r < 0 ? log_error_errno(r, "The event loop failed") : 0;
}
