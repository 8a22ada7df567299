/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods.h"
#include "nvme-keyd/daemon-log.h"
#include "nvme-keyd/handed/limits.h"
#include "nvme-keyd/keys/broken.h"
#include "nvme-keyd/manager/rotation.h"

/* Logs each line of detail as "what: line". */
static void log_lines(int level, const LogFields *fields, const char *what, const char *detail)
{
    while (*detail) {
        size_t n = strcspn(detail, "\n");

        (void)log_full(level, 0, fields, "%s: %.*s", what, (int)n, detail);
        detail += n + (detail[n] == '\n');
    }
}

void daemon_load_config(const char *path, Config *ret, ConfigProblems *ret_problems)
{
    static const LogFields invalid = {.message_id = MESSAGE_CONFIG_INVALID};
    const char *line;

    config_load(path, ret, ret_problems);
    for (size_t i = 0; (line = config_problem(ret_problems, i)); i++)
        (void)log_full(LOG_WARNING, 0, &invalid, "%s", line);
}

static void log_store(const Vault *v, int level, const char *detail)
{
    static const LogFields unavailable = {.message_id = MESSAGE_STORE_UNAVAILABLE},
                           refused = {.message_id = MESSAGE_STORE_REFUSED};

    log_lines(level, vault_is_refused(v) ? &refused : &unavailable, "Cannot open the store",
              detail);
}

/* Opening is retried again and again, so each cause is logged once, and at debug level after that.
 */
static void log_unavailable(DaemonLog *l, const Manager *m)
{
    const Vault *v = manager_vault(m);
    const char *detail = vault_detail(v) ? vault_detail(v) : vault_make_detail(v);
    bool known;

    if (!detail)
        detail = "out of memory";
    known = l->unavailable && strcmp(l->unavailable, detail) == 0;
    log_store(v, known ? LOG_DEBUG : LOG_ERR, detail);
    if (known)
        return;
    free(l->unavailable);
    l->unavailable = strdup(detail);
}

void daemon_log_problems(const Manager *m)
{
    static const LogFields fields = {.message_id = MESSAGE_HANDED_IN_UNUSABLE};
    size_t n = manager_handed_in(m).problems;
    const char *problem;

    for (size_t i = 0; (problem = manager_handed_problem(m, i)); i++)
        (void)log_full(LOG_WARNING, 0, &fields, "Ignored: %s", problem);
    if (n > HANDED_PROBLEMS_MAX)
        (void)log_full(LOG_WARNING, 0, &fields, "Ignored: %zu more lines of credentials",
                       n - HANDED_PROBLEMS_MAX);
}

void daemon_log_overridden(Manager *m)
{
    const Key *k;

    while ((k = manager_next_overridden(m))) {
        const LogFields fields = {.message_id = MESSAGE_HANDED_IN_OVERRIDDEN,
                                  .hostnqn = k->hostnqn,
                                  .subsysnqn = k->subsysnqn,
                                  .key_id = k->id};

        (void)log_full(
            LOG_WARNING, 0, &fields,
            "The handed-in key for %s of credential %s is not used: the store has a key for "
            "this pair",
            k->subsysnqn, k->handed_by);
    }
}

void daemon_log_steps(Manager *m)
{
    static const struct {
        const char *message_id, *done;
    } steps[] = {[KEY_STEP_ACTIVATE] = {MESSAGE_KEY_ACTIVATED, "activated"},
                 [KEY_STEP_RETIRE] = {MESSAGE_KEY_RETIRED, "retired"},
                 [KEY_STEP_REVOKE] = {MESSAGE_KEY_REVOKED, "revoked"},
                 [KEY_STEP_REMOVE] = {MESSAGE_KEY_REMOVED, "removed"}};
    const TakenStep *t;

    while ((t = manager_next_step(m))) {
        const LogFields fields = {.message_id = steps[t->step].message_id,
                                  .hostnqn = t->hostnqn,
                                  .subsysnqn = t->subsysnqn,
                                  .key_id = t->id};

        (void)log_full(LOG_INFO, 0, &fields, "Key %s for host %s and subsystem %s %s as planned",
                       t->id, t->hostnqn, t->subsysnqn, steps[t->step].done);
    }
}

/* The first target that is against the switch. */
static const ProbeResult *find_objection(const AttemptResult *r)
{
    for (size_t i = 0; i < r->n_results; i++)
        if (r->results[i].answer != PROBE_ACCEPTED && r->results[i].answer != PROBE_OWN &&
            (r->verdict != VERDICT_REFUSED || r->results[i].answer != PROBE_UNREACHABLE))
            return &r->results[i];
    return NULL;
}

void daemon_log_attempt(const Manager *m, const AttemptResult *r)
{
    const Key *k = key_table_find(manager_keys(m), r->id);
    const ProbeResult *objection = find_objection(r);
    LogFields fields = {.message_id = r->detail ? MESSAGE_PROBED : MESSAGE_KEY_ACTIVATED,
                        .key_id = r->id};

    /* The attempt that has activated it is logged. */
    if (r->detail && k && k->state == KEY_ACTIVE)
        return;
    if (k && k->hostnqn) {
        fields.hostnqn = k->hostnqn;
        fields.subsysnqn = k->subsysnqn;
    }
    if (!r->detail)
        (void)log_full(LOG_INFO, 0, &fields,
                       "Key %s for host %s and subsystem %s activated: %zu of its targets were "
                       "asked, and none that can be reached is against it",
                       r->id, fields.hostnqn, fields.subsysnqn, r->n_results);
    else
        (void)log_full(r->repeated ? LOG_DEBUG : LOG_NOTICE, 0, &fields,
                       "Key %s for host %s and subsystem %s is not activated: %s%s%s%s%s%s", r->id,
                       fields.hostnqn ? fields.hostnqn : "(unknown)",
                       fields.subsysnqn ? fields.subsysnqn : "(unknown)", r->detail,
                       objection ? "; " : "", objection ? objection->address : "",
                       objection ? ": " : "", objection ? objection->detail : "",
                       r->again ? "; it is tried again" : "");
}

void daemon_log_ring(Manager *m)
{
    const RingNotice *n;

    while ((n = publisher_next_ring_notice(manager_publisher(m)))) {
        static const char *const ids[] = {[RING_NOTICE_HELD] = MESSAGE_KEY_HELD,
                                          [RING_NOTICE_RIVAL] = MESSAGE_KEY_RIVAL,
                                          [RING_NOTICE_MALFORMED] = MESSAGE_KEY_RIVAL,
                                          [RING_NOTICE_SHADOW] = MESSAGE_KEY_RIVAL,
                                          [RING_NOTICE_DISPLACED] = MESSAGE_KEY_DISPLACED};
        const LogFields fields = {
            .message_id = ids[n->kind], .hostnqn = n->hostnqn, .subsysnqn = n->subsysnqn};
        _cleanup_(freep) char *text = ring_notice_text(n);

        if (text)
            (void)log_full(LOG_WARNING, 0, &fields, "In the keyring: %s", text);
    }
}

/* Names the act of another program on a key, as the end of a sentence. */
static const char *loss_text(LossCause cause)
{
    static const char *const texts[] = {
        [LOSS_CLEARED] = "had left the keyring with all the others (keyctl clear)",
        [LOSS_REVOKED] = "had been revoked by another program",
        [LOSS_EXPIRED] = "had expired by a timeout of another program",
        [LOSS_DISPLACED] = "had been displaced by another key of its name",
        [LOSS_UNLINKED] = "had been unlinked by another program"};

    return texts[cause];
}

void daemon_log_losses(Manager *m)
{
    Publisher *p = manager_publisher(m);
    Loss loss;
    size_t more;

    while (publisher_next_loss(p, &loss)) {
        const LogFields fields = {.message_id = MESSAGE_KEY_PUT_BACK,
                                  .hostnqn = loss.hostnqn,
                                  .subsysnqn = loss.subsysnqn,
                                  .key_id = loss.id,
                                  .cause = loss_cause_to_string(loss.cause)};

        (void)log_full(LOG_WARNING, 0, &fields, "Put key %s for %s back into the keyring: %08x %s",
                       loss.id, loss.subsysnqn, (unsigned)loss.serial, loss_text(loss.cause));
    }
    more = publisher_take_more_losses(p);
    if (more > 0)
        log_warning("Put %zu more keys back into the keyring", more);
}

void daemon_log_guard(const Manager *m, GuardEvent event)
{
    static const LogFields fights = {.message_id = MESSAGE_GUARD_FIGHTS};

    if (event == GUARD_FIGHTS)
        (void)log_full(
            LOG_ERR, 0, &fights,
            "Another program takes keys out of the keyring, or puts some beside ours, again and "
            "again: looks at the keyring are now %u s and more apart. Stop that program",
            (unsigned)(guard_fight_pause(manager_guard(m)) / USEC_PER_SEC));
    else if (event == GUARD_RESTS)
        log_notice(
            "No other program has changed the keyring for a while: looks are frequent again");
}

/* Keys of one age, such as those of an import, end at one time. */
#define EXPIRED_LOGGED_MAX 5

void daemon_log_expired(Manager *m)
{
    const Key *keys[EXPIRED_LOGGED_MAX];
    size_t n = manager_take_expired(m, keys, EXPIRED_LOGGED_MAX);

    for (size_t i = 0; i < CONST_MIN(n, (size_t)EXPIRED_LOGGED_MAX); i++) {
        const Key *k = keys[i];
        const LogFields fields = {.message_id = MESSAGE_KEY_EXPIRED,
                                  .hostnqn = k->hostnqn,
                                  .subsysnqn = k->subsysnqn,
                                  .key_id = k->id};

        (void)log_full(LOG_WARNING, 0, &fields,
                       "The lifetime of key %s for %s is over: it goes on to work, but rotate it",
                       k->id, k->subsysnqn);
    }
    if (n > EXPIRED_LOGGED_MAX)
        log_warning("The lifetimes of %zu more keys are over: nvme-keyctl list marks them",
                    n - EXPIRED_LOGGED_MAX);
}

/* In an initramfs these lines go to a console. */
#define BROKEN_LOGGED_MAX 20

/* Logs the first broken keys, then their number and what to do. Returns the number. */
static size_t log_broken(const KeyTable *keys)
{
    size_t n = 0;
    const Key *k;

    KEY_TABLE_FOREACH(keys, k)
    {
        const LogFields fields = {.message_id = MESSAGE_RECORD_BROKEN, .key_id = k->id};

        if (k->state == KEY_BROKEN && n++ < BROKEN_LOGGED_MAX)
            (void)log_full(LOG_ERR, 0, &fields, "Record %s: %s", k->id, key_error_text(k));
    }
    if (n > 0)
        log_error("%zu records of the store are broken: restore the store from a backup, or "
                  "remove these keys (see nvme-keyctl list) and add them again",
                  n);
    return n;
}

static void log_failed(int level, int error, const ReconcileResult *s)
{
    _cleanup_(freep) char *why = s->unreadable ? broken_explain(s->unreadable, error) : NULL;

    if (s->blind)
        (void)log_full(level, 0, NULL,
                       "Keys that were replaced stay in the keyring until the controllers of this "
                       "host can be read: %s",
                       strerror(-error));
    else
        (void)log_full(level, 0, NULL, "Cannot publish %zu of the keys: %s", s->failed,
                       why ? why : ring_error_text(error));
}

static void log_reconciled(const ReconcileResult *s)
{
    log_info("Keyring reconciled: %zu keys kept, %zu added, %zu removed", s->kept, s->added,
             s->removed);
}

static void log_publishing(DaemonLog *l, const Manager *m, int error, const ReconcileResult *s)
{
    static const LogFields absent = {.message_id = MESSAGE_RING_ABSENT};

    if (error < 0 && vault_error(manager_vault(m)) < 0)
        log_unavailable(l, m);
    else if (error == -ENOKEY)
        (void)log_full(l->absent ? LOG_DEBUG : LOG_NOTICE, 0, &absent,
                       "Nothing published: " PUBLISHER_NO_RING_YET);
    else if (error < 0)
        log_failed(l->failed == error ? LOG_DEBUG : LOG_ERR, error, s);
    else if (error == 0)
        log_reconciled(s);
    l->absent = error == -ENOKEY;
    l->failed = error;
}

void daemon_log_sync(DaemonLog *l, const Manager *m, int error, const ReconcileResult *s)
{
    if (s->added > 0 && (error > 0 || vault_error(manager_vault(m)) < 0))
        log_info("%zu handed-in keys added to the keyring", s->added);
    if (error <= 0)
        log_publishing(l, m, error, s);
}

static ExitCode log_published(Manager *m, const char *state_dir, const ReconcileResult *s)
{
    const KeyTable *keys = manager_keys(m);
    size_t broken;

    if (!manager_store(m) && key_table_size(keys) == 0) {
        log_error("No store in %s, so there are no keys to publish", state_dir);
        return EXIT_STORE;
    }
    broken = log_broken(keys);
    daemon_log_ring(m);
    log_reconciled(s);
    return broken > 0 ? EXIT_STORE : EXIT_OK;
}

ExitCode daemon_log_result(Manager *m, const char *state_dir, int error, const ReconcileResult *s,
                           bool signalled)
{
    static const LogFields absent = {.message_id = MESSAGE_RING_ABSENT};
    const Vault *v = manager_vault(m);
    const char *detail = vault_detail(v);

    if (error == -ENOKEY) {
        (void)log_full(LOG_ERR, 0, &absent, "Nothing published: " PUBLISHER_NO_RING);
        return EXIT_NO_KEYRING;
    }
    if (vault_error(v) < 0) {
        if (vault_is_opening(v))
            detail = signalled ? "a signal ended the wait for a TPM or systemd-creds"
                               : "a TPM or systemd-creds has not answered in time";
        log_store(v, LOG_ERR, detail ? detail : strerror(-vault_error(v)));
        return EXIT_STORE;
    }
    if (error < 0) {
        (void)log_broken(manager_keys(m));
        log_failed(LOG_ERR, error, s);
        return EXIT_KEYRING;
    }
    return log_published(m, state_dir, s);
}

void daemon_log_provision(const Manager *m)
{
    static const LogFields refused = {.message_id = MESSAGE_ON_DEMAND_REFUSED};

    if (publisher_provision(manager_publisher(m)) == PROVISION_REFUSED)
        (void)log_full(LOG_ERR, 0, &refused,
                       "Refused Provision=on-demand: " PUBLISHER_ON_DEMAND_REFUSED);
}

static void log_opened(DaemonLog *l, const Manager *m)
{
    static const LogFields opened = {.message_id = MESSAGE_STORE_OPENED};
    static const LogFields failed = {.message_id = MESSAGE_SLOTS_FAILED};
    static const LogFields unseen = {.message_id = MESSAGE_COUNTERS_UNSEEN};
    const char *detail = vault_detail(manager_vault(m)),
               *why = vault_counters_unseen(manager_vault(m));

    if (detail)
        log_lines(LOG_WARNING, &failed,
                  "A slot does not open the store, see nvme-keyctl slot reseal", detail);
    (void)log_full(LOG_INFO, 0, &opened, "Opened the store by its slot of type %s",
                   store_slot_type(manager_store(m)));
    if (why)
        (void)log_full(
            LOG_WARNING, 0, &unseen,
            "Cannot check the TPM for the rollback counter of another store: %s; set Id= in "
            "nvme-keyd.conf to accept only the right store without this check",
            why);
    (void)log_broken(manager_keys(m));
    free(TAKE_PTR(l->unavailable));
    l->slow = false;
}

static void log_slow(DaemonLog *l)
{
    static const LogFields slow = {.message_id = MESSAGE_STORE_SLOW};

    if (!l->slow)
        (void)log_full(LOG_NOTICE, 0, &slow,
                       "Waiting for the store: a TPM or systemd-creds has not answered yet");
    l->slow = true;
}

static void log_made_warnings(const Manager *m)
{
    static const LogFields fields = {.message_id = MESSAGE_SLOT_WARNING};
    _cleanup_(json_putp) json_object *lines = NULL;

    if (vault_new_warnings(manager_vault(m), &lines) < 0)
        return;
    for (size_t i = 0; i < json_object_array_length(lines); i++)
        (void)log_full(LOG_WARNING, 0, &fields, "Slot warning: %s",
                       json_object_get_string(json_object_array_get_idx(lines, i)));
}

static void log_created(const Manager *m)
{
    static const LogFields created = {.message_id = MESSAGE_STORE_CREATED};
    json_object *slots = store_slots(manager_store(m));
    char types[128] = "";

    for (size_t i = 0, n = 0; i < json_object_array_length(slots) && n < sizeof(types); i++) {
        const char *type = "";

        (void)json_get_string(json_object_array_get_idx(slots, i), "type", &type);
        n += (size_t)snprintf(types + n, sizeof(types) - n, "%s%s", i > 0 ? " and " : "", type);
    }
    (void)log_full(
        LOG_NOTICE, 0, &created,
        "Made the store, sealed by %s; add a recovery key: nvme-keyctl slot add recovery", types);
}

void daemon_log_store(DaemonLog *l, const Manager *m, VaultEvent event)
{
    const char *detail = vault_detail(manager_vault(m));

    switch (event) {
    case VAULT_CREATED:
        log_created(m);
        log_made_warnings(m);
        methods_log_host_key(m);
        break;
    case VAULT_OPENED:
        log_opened(l, m);
        methods_log_host_key(m);
        break;
    case VAULT_FAILED:
        log_unavailable(l, m);
        break;
    case VAULT_SLOW:
        log_slow(l);
        break;
    case VAULT_COUNTED:
        if (detail)
            (void)log_full(l->behind ? LOG_DEBUG : LOG_WARNING, 0, NULL,
                           "The rollback counter in the TPM lags behind the store: %s", detail);
        l->behind = detail;
        break;
    case VAULT_IDLE:
        break;
    }
}

void daemon_log_clock(DaemonLog *l, const Manager *m)
{
    ManagerDue due;

    manager_due(m, &due);
    if (due.unsynchronized > 0 && !l->clock)
        log_notice(
            "%zu retired keys have left the keyring, but stay in the store until the clock is "
            "synchronised, or the machine has been up for RetireSec=",
            due.unsynchronized);
    l->clock = due.unsynchronized > 0;
}

void daemon_log_done(DaemonLog *l)
{
    free(l->unavailable);
}
