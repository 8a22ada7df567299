/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyd/controllers/counters.h"
#include "nvme-keyd/controllers/handle.h"
#include "nvme-keyd/controllers/limits.h"
#include "nvme-keyd/controllers/paths.h"
#include "nvme-keyd/controllers/stall.h"

/*
 * move resets controllers, one at a time, so that each connects again with the active key of its
 * pair. This happens here and not in the service, which may not write to sysfs.
 *
 * Requests to a subsystem wait while its only path is reset, and while it has another path they go
 * there. So the last path that takes requests is not reset before another one is back, and the
 * first failure ends the whole: what has failed once may fail for the next path as well.
 */

/* For a controller to come back, and for another path of its subsystem. */
#define MOVE_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define POLL_USEC (USEC_PER_SEC / 20)
/* Between two samples of requests. */
#define SAMPLE_USEC USEC_PER_SEC

typedef struct Move {
    const Options *o;
    const char *directory;
    Stalls stalls;      /* with --stalled */
    json_object *moved; /* names, for --json= */
    json_object *skipped;
    size_t n; /* controllers to be reset */
    size_t done;
} Move;

/* A controller as the service has listed it. */
typedef struct Mover {
    const char *name, *subsysnqn, *state, *key;
    uint64_t inode, serial, next;
    bool old, on_request;
} Mover;

static Mover read_mover(json_object *c)
{
    Mover m = {.name = json_string_or(c, "name", ""),
               .subsysnqn = json_string_or(c, "subsystemNQN", ""),
               .state = json_string_or(c, "state", ""),
               .key = json_string_or(c, "key", "")};

    (void)json_get_uint(c, "inode", INT64_MAX, &m.inode);
    (void)json_get_uint(c, "serial", INT32_MAX, &m.serial);
    (void)json_get_uint(c, "nextSerial", INT32_MAX, &m.next);
    (void)json_get_bool(c, "old", &m.old);
    (void)json_get_bool(c, "onRequest", &m.on_request);
    return m;
}

static void pause_for(uint64_t usec)
{
    (void)nanosleep(&(struct timespec){.tv_sec = (time_t)(usec / USEC_PER_SEC),
                                       .tv_nsec = (long)(usec % USEC_PER_SEC) * 1000},
                    NULL);
}

static uint64_t timeout_of(const Options *o)
{
    return o->timeout_usec > 0 ? o->timeout_usec : MOVE_TIMEOUT_USEC;
}

/* One line of progress, at once. */
static void __attribute__((format(printf, 2, 3))) say(const Move *move, const char *format, ...)
{
    va_list ap;

    if (move->o->json != JSON_OFF)
        return;
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void skip(const Move *move, const char *name, const char *reason)
{
    json_object *o = json_object_new_object();

    say(move, "%s: skipped: %s", name, reason);
    if (json_add_string(o, "name", name) < 0 || json_add_string(o, "reason", reason) < 0 ||
        json_append_take(move->skipped, json_object_get(o)) < 0)
        (void)cli_out_of_memory();
    json_object_put(o);
}

/* Returns why a controller is not reset, "" if there is no reason to reset it, NULL if it is. */
static const char *reason_to_stay(const Move *move, const Mover *m)
{
    bool stalled = stalls_has(&move->stalls, m->name);

    if (move->o->stalled && !stalled)
        return "";
    if (!move->o->stalled && strcmp(m->key, "pinned") == 0)
        return "it was connected with a key of its own (--tls-key=), so a reset changes nothing";
    if (!move->o->stalled && strcmp(m->key, "generated") == 0)
        return "the kernel generates its keys (secure concatenation)";
    if (!move->o->stalled && strcmp(m->key, "unknown") == 0)
        return "its key is not known while the store is closed";
    if (!move->o->stalled && strcmp(m->key, "foreign") == 0 && !m->old)
        return "nvme-keyd has no key for its host and subsystem";
    if (strcmp(m->key, "active") == 0 && !stalled)
        return "";
    if (strcmp(m->state, "live") != 0)
        return "it is connecting already, and takes the key that it finds";
    return m->old || stalled ? NULL : "";
}

static bool wants(const Options *o, const Mover *m)
{
    return !o->arguments[0] || strcmp(o->arguments[0], m->subsysnqn) == 0;
}

/* Counts the controllers to be reset, and names those that stay. Returns the number of controllers
 * of the subsystem. */
static size_t plan(Move *move, json_object *list)
{
    size_t all = 0;

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        Mover m = read_mover(json_object_array_get_idx(list, i));
        const char *reason;

        if (!wants(move->o, &m))
            continue;
        all++;
        reason = reason_to_stay(move, &m);
        move->n += !reason;
        if (reason && reason[0])
            skip(move, m.name, reason);
    }
    return all;
}

/* Waits until another path of the subsystem takes requests, unless this is its only one. */
static int await_other_path(const Move *move, const Mover *m)
{
    uint64_t end = now_monotonic() + timeout_of(move->o);
    ControllerPaths paths;
    int r;

    for (bool first = true;; first = false) {
        r = controller_count_paths(move->directory, m->name, m->subsysnqn, &paths);
        if (r < 0)
            return cli_fail(EXIT_NOT_MOVED, "%s: cannot read %s: %s", m->name, move->directory,
                            strerror(-r));
        if (paths.all <= 1)
            say(move, "%s: is the only path to %s, so requests wait during the reset", m->name,
                m->subsysnqn);
        if (paths.all <= 1 || paths.others > 0 || move->o->force)
            return EXIT_OK;
        if (move->o->dry_run || now_monotonic() >= end)
            return cli_fail(EXIT_NOT_MOVED,
                            "%s: is the last of %zu paths to %s that takes requests: bring another "
                            "one back, or use --force",
                            m->name, paths.all, m->subsysnqn);
        if (first)
            say(move, "%s: waiting for another path to %s", m->name, m->subsysnqn);
        pause_for(POLL_USEC);
    }
}

/* Any key but the old one if it is published when the kernel asks; any at all for a stalled one. */
static bool has_key(const Move *move, const Mover *m, const ControllerNow *now)
{
    if (!now->live || now->tls_key == 0)
        return false;
    if (move->o->stalled)
        return true;
    return m->next != 0 ? (uint64_t)now->tls_key == m->next : (uint64_t)now->tls_key != m->serial;
}

static int fail_after_reset(const Move *move, const Mover *m, const ControllerNow *now)
{
    if (!now->live)
        return cli_fail(EXIT_NOT_MOVED, "%s: is not live %llu s after its reset, but %s", m->name,
                        (unsigned long long)(timeout_of(move->o) / USEC_PER_SEC), now->state);
    return cli_fail(EXIT_NOT_MOVED,
                    "%s: is live again, but with the key %08x instead of %08x: see nvme-keyctl "
                    "status",
                    m->name, (unsigned)now->tls_key, (unsigned)m->next);
}

static int await_live(const Move *move, const Mover *m, int fd)
{
    uint64_t end = now_monotonic() + timeout_of(move->o);
    ControllerNow now;
    int r;

    for (;;) {
        r = controller_read_now(fd, &now);
        if (r == -ENODEV)
            return cli_fail(EXIT_NOT_MOVED,
                            "%s: the kernel has removed it, because it could not connect again: "
                            "see journalctl -k",
                            m->name);
        if (r < 0)
            return cli_fail(EXIT_NOT_MOVED, "%s: cannot read its state: %s", m->name, strerror(-r));
        if (has_key(move, m, &now))
            return EXIT_OK;
        /* A third key will not give way to the right one. */
        if (now_monotonic() >= end ||
            (now.live && now.tls_key != 0 && (uint64_t)now.tls_key != m->serial))
            return fail_after_reset(move, m, &now);
        pause_for(POLL_USEC);
    }
}

static int reset(const Move *move, const Mover *m, int fd)
{
    int r = controller_reset(fd);

    if (r == -EACCES || r == -EPERM)
        return cli_fail(EXIT_PERMISSION, "permission denied: only root may reset controllers");
    /* The kernel goes on trying after -ENETRESET; -EBUSY means that another reset is under way. */
    if (r < 0 && r != -ENETRESET && r != -EBUSY && r != -ENODEV)
        return cli_fail(EXIT_NOT_MOVED, "%s: cannot be reset: %s", m->name, strerror(-r));
    return await_live(move, m, fd);
}

/* Returns EXIT_OK also if there is nothing left to do for it. */
static int move_one(Move *move, const Mover *m)
{
    _cleanup_(closep) int fd = -EBADF;
    uint64_t start = now_monotonic();
    int r = controller_open(move->directory, m->name, m->inode, &fd);

    move->done++;
    if (r == -ENOENT || r == -ESTALE) {
        skip(move, m->name,
             r == -ESTALE ? "another controller has got its name" : "it was disconnected");
        return EXIT_OK;
    }
    if (r < 0)
        return cli_fail(EXIT_NOT_MOVED, "%s: cannot be opened: %s", m->name, strerror(-r));
    if (!move->o->stalled && m->next == 0 && !m->on_request)
        return cli_fail(EXIT_NOT_MOVED,
                        "%s: the active key is not in the keyring, so a reset would lose the "
                        "controller: run nvme-keyctl sync",
                        m->name);
    if ((r = await_other_path(move, m)) != EXIT_OK)
        return r;
    if (move->o->dry_run) {
        say(move, "%s: would be reset (%zu of %zu)", m->name, move->done, move->n);
        return EXIT_OK;
    }
    say(move, "%s: resetting (%zu of %zu)", m->name, move->done, move->n);
    if ((r = reset(move, m, fd)) != EXIT_OK)
        return r;
    say(move, "%s: live after %.1f s%s", m->name, (double)(now_monotonic() - start) / 1e6,
        move->o->stalled ? "" : ", with the active key");
    return json_append_take(move->moved, json_object_new_string(m->name)) < 0 ? cli_out_of_memory()
                                                                              : EXIT_OK;
}

static int move_all(Move *move, json_object *list)
{
    int r = EXIT_OK;

    for (size_t i = 0; i < json_object_array_length(list) && r == EXIT_OK; i++) {
        Mover m = read_mover(json_object_array_get_idx(list, i));

        if (wants(move->o, &m) && !reason_to_stay(move, &m))
            r = move_one(move, &m);
    }
    return r;
}

static int fail_sampling(const Move *move, int error)
{
    return cli_fail(EXIT_OTHER, "cannot read the controllers in %s: %s", move->directory,
                    strerror(-error));
}

/* Requests in flight are common, so only time shows that they do not end. */
static int sample(Move *move)
{
    uint64_t end = now_monotonic() + STALLED_USEC;
    bool last = false;

    say(move, "Looking for requests that do not end, for %llu s",
        (unsigned long long)(STALLED_USEC / USEC_PER_SEC));
    for (;;) {
        _cleanup_(controller_list_done) ControllerList l = {NULL, 0};
        int r = controllers_read(move->directory, &l);

        last = now_monotonic() > end;
        if (r == 0)
            r = stalls_sample(&move->stalls, move->directory, &l, now_monotonic());
        if (r < 0)
            return fail_sampling(move, r);
        if (last)
            return EXIT_OK;
        pause_for(SAMPLE_USEC);
    }
}

/* On a kernel that does not count KeyUpdates, the requests alone are judged. */
static int find_stalled(Move *move)
{
    const char *path = getenv(NAMES_ENV_TLS_STAT);
    KeyUpdates updates = {.counted = false};

    if (key_updates_read(path ? path : NAMES_TLS_STAT, &updates) == 0 && updates.counted &&
        !key_updates_are_open(&updates) && !move->o->force) {
        say(move, "No peer has sent a KeyUpdate, so none has stalled a connection; --force looks "
                  "for requests that do not end nevertheless.");
        return EXIT_OK;
    }
    return sample(move);
}

static int print_result(const Move *move)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    size_t left = move->n - move->done;

    if (!o || json_add_take(o, "moved", json_object_get(move->moved)) < 0 ||
        json_add_take(o, "skipped", json_object_get(move->skipped)) < 0 ||
        json_add_uint(o, "left", left) < 0)
        return cli_out_of_memory();
    if (move->o->json != JSON_OFF)
        cli_print_json(move->o, o);
    return EXIT_OK;
}

static int run(Move *move, json_object *list)
{
    size_t all, n;
    int r = move->o->stalled ? find_stalled(move) : EXIT_OK;

    if (r != EXIT_OK)
        return r;
    all = plan(move, list);
    if (all == 0 && move->o->arguments[0])
        return cli_fail(EXIT_NO_KEY, "this host has no controller with TLS of that subsystem");
    if (move->n == 0)
        say(move, "%s",
            move->o->stalled ? "No controller is stalled." : "No controller uses an old key.");
    r = move_all(move, list);
    n = json_object_array_length(move->moved);
    if (r != EXIT_OK && move->n > 1)
        (void)cli_fail(EXIT_OK, "stopped after this failure: %zu of %zu controllers %s, %zu left",
                       n, move->n, n == 1 ? "was moved" : "were moved", move->n - n);
    if (r != EXIT_OK)
        move->done--; /* the one that has failed is left */
    return print_result(move) == EXIT_OK ? r : EXIT_OTHER;
}

int verb_move(const Options *o)
{
    _cleanup_(json_putp) json_object *list = json_object_new_array();
    _cleanup_(json_putp) json_object *moved = json_object_new_array();
    _cleanup_(json_putp) json_object *skipped = json_object_new_array();
    const char *directory = getenv(NAMES_ENV_CONTROLLERS);
    Move move = {.o = o,
                 .directory = directory ? directory : NAMES_CONTROLLERS,
                 .moved = moved,
                 .skipped = skipped};
    Options own = *o;
    int r;

    if (!list || !moved || !skipped)
        return cli_out_of_memory();
    /* --timeout= is for a controller. */
    own.timeout_usec = 0;
    r = cli_call_list(&own, "ListControllers", "controller", list);
    if (r == EXIT_OK)
        r = run(&move, list);
    stalls_done(&move.stalls);
    return r;
}
