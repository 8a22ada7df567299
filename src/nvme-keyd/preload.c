/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyd/daemon-log.h"
#include "nvme-keyd/keys/broken.h"
#include "nvme-keyd/manager/manager.h"
#include "nvme-keyd/preload.h"

/* Pause between two attempts to open the store or the TPM. */
#define RETRY_USEC (USEC_PER_SEC / 5)

typedef struct Preload {
    const char *state_dir;
    uint64_t timeout_usec;
    sd_event *event;
    Manager *manager;
    sd_event_source *retry;
    sd_event_source *end;
    int result; /* of the last attempt; above 0 while one is running */
    SyncResult sync;
} Preload;

static void preload_done(Preload *p)
{
    sd_event_source_disable_unref(p->retry);
    sd_event_source_disable_unref(p->end);
    manager_free(p->manager);
    sd_event_unref(p->event);
}

/* The daemon of the real root recognises our keys by their mark, and by this group if preload ends
 * before it could mark a key. */
static int take_group(void)
{
    const struct group *g;

    if (getegid() != 0)
        return 0;
    errno = 0;
    g = getgrnam(NAMES_GROUP);
    if (!g)
        return log_error_errno(errno > 0 ? -errno : -ESRCH,
                               "The group " NAMES_GROUP
                               " is missing, so the keys cannot be marked");
    if (setegid(g->gr_gid) < 0)
        return log_error_errno(-errno, "Cannot take the group " NAMES_GROUP);
    return 0;
}

/* True if a retry may succeed: another process has the store open, or the driver of the TPM is
 * still loading. */
static bool may_pass(const Preload *p)
{
    return !manager_store(p->manager) && (p->result == -EBUSY || p->result == -ENODEV);
}

static void try_once(Preload *p)
{
    p->result = manager_publish_all(p->manager, &p->sync);
    if (p->result > 0)
        return;
    if (!may_pass(p) || sd_event_source_set_time_relative(p->retry, RETRY_USEC) < 0 ||
        sd_event_source_set_enabled(p->retry, SD_EVENT_ONESHOT) < 0)
        (void)sd_event_exit(p->event, 0);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
    try_once(userdata);
    return 0;
}

static void on_vault(VaultEvent event, void *userdata)
{
    if (event != VAULT_SLOW)
        try_once(userdata);
}

static int on_end(sd_event_source *source, _unused_ uint64_t usec, _unused_ void *userdata)
{
    return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int setup(Preload *p, const Config *config)
{
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return log_error_errno(-errno, "Cannot set up");
    if ((r = sd_event_new(&p->event)) < 0 ||
        (r = manager_new(p->event, config, p->state_dir, &p->manager)) < 0 ||
        (r = sd_event_add_time_relative(p->event, &p->retry, CLOCK_MONOTONIC, 0, 0, on_retry, p)) <
            0 ||
        (r = sd_event_add_time_relative(p->event, &p->end, CLOCK_MONOTONIC, p->timeout_usec, 0,
                                        on_end, p)) < 0)
        return log_error_errno(r, "Cannot set up");
    manager_set_handler(p->manager, on_vault, p);
    return 0;
}

static ExitCode fail_store(const Preload *p)
{
    static const LogFields unavailable = {.message_id = MESSAGE_STORE_UNAVAILABLE},
                           refused = {.message_id = MESSAGE_STORE_REFUSED};
    const char *detail = vault_detail(manager_vault(p->manager));

    if (p->result > 0)
        detail = "a TPM or systemd-creds has not answered in time";
    daemon_log_lines(LOG_ERR, vault_is_refused(manager_vault(p->manager)) ? &refused : &unavailable,
                     "Cannot open the store", detail ? detail : strerror(-p->result));
    return EXIT_STORE;
}

static ExitCode tell_published(const Preload *p)
{
    const KeyTable *keys = manager_keys(p->manager);
    size_t broken;

    if (!manager_store(p->manager) && key_table_size(keys) == 0) {
        log_error("No store in %s, so there are no keys to publish", p->state_dir);
        return EXIT_STORE;
    }
    broken = broken_log(keys);
    daemon_log_ring(p->manager);
    log_info("Keyring reconciled: %zu keys kept, %zu added, %zu removed", p->sync.kept,
             p->sync.added, p->sync.removed);
    return broken > 0 ? EXIT_STORE : EXIT_OK;
}

static ExitCode tell(Preload *p)
{
    static const LogFields absent = {.message_id = MESSAGE_RING_ABSENT};

    publisher_take_changes(manager_publisher(p->manager), &p->sync);
    if (p->result == -ENOKEY) {
        (void)log_full(LOG_ERR, 0, &absent, "Nothing published: " PUBLISHER_NO_RING);
        return EXIT_NO_KEYRING;
    }
    if (p->result != 0 && !manager_store(p->manager))
        return fail_store(p);
    if (p->result < 0) {
        (void)broken_log(manager_keys(p->manager));
        log_error("Cannot publish %zu of the keys: %s", p->sync.failed, ring_error_text(p->result));
        return EXIT_KEYRING;
    }
    return tell_published(p);
}

ExitCode preload_run(const Config *config, const char *state_dir, uint64_t timeout_usec)
{
    _cleanup_(preload_done) Preload p = {.state_dir = state_dir, .timeout_usec = timeout_usec};
    Config resident = *config;
    int r;

    /* In an initramfs no service answers the requests of the kernel. */
    resident.on_demand = false;
    if (take_group() < 0 || setup(&p, &resident) < 0)
        return EXIT_OTHER;
    /* Without a ring there is no need to wait for a TPM. */
    if (!publisher_ring(manager_publisher(p.manager), &p.result))
        return tell(&p);
    try_once(&p);
    r = sd_event_loop(p.event);
    if (r < 0) {
        (void)log_error_errno(r, "The event loop failed");
        return EXIT_OTHER;
    }
    return tell(&p);
}
