/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/rotation.h"
#include "varlink/json-wire.h"

/* The life of a key: Rotate, Activate, Revert, Retire, Revoke, Remove. */

/* The members that these methods share. */
typedef struct LifeRequest {
    const char *id;
    bool force;
    bool plans, cancels; /* for at_usec; or nothing at any time */
    uint64_t at_usec;
    bool from_now; /* at_usec was given as a span */
} LifeRequest;

/* Reads at or in. Returns 0, or -EINVAL with the member's name. A time that has come is now. */
static int read_time(json_object *p, LifeRequest *q, const char **reterr_member)
{
    uint64_t now = now_realtime(), span;
    int at, in;

    *reterr_member = "at";
    at = json_get_uint(p, "at", INT64_MAX, &q->at_usec);
    if (at < 0)
        return at;
    *reterr_member = "in";
    in = json_get_uint(p, "in", INT64_MAX, &span);
    if (in < 0 || (in > 0 && (at > 0 || span > INT64_MAX - now)))
        return -EINVAL;
    q->from_now = in > 0;
    if (q->from_now)
        q->at_usec = now + span;
    q->cancels = at > 0 && q->at_usec == 0;
    q->plans = q->at_usec > now;
    return 0;
}

/* Returns 0, or -EINVAL with the member's name. */
static int read_life(json_object *p, LifeRequest *ret, const char **reterr_member)
{
    LifeRequest q = {.force = false};

    *reterr_member = "id";
    if (methods_read_id(p, &q.id) < 0)
        return -EINVAL;
    *reterr_member = "force";
    if (json_get_bool(p, "force", &q.force) < 0)
        return -EINVAL;
    if (read_time(p, &q, reterr_member) < 0)
        return -EINVAL;
    *ret = q;
    return 0;
}

static void log_life(VarlinkCall *call, const Key *k, const char *message_id, const char *what)
{
    const LogFields fields = methods_fields_of(message_id, k);

    methods_log_change(call, &fields, what);
}

static int add_key(json_object *o, Manager *m, const Key *k)
{
    json_object *key;
    int r = methods_describe_key(m, k, publisher_on_demand_sec(manager_publisher(m)), &key);

    return r < 0 ? r : json_add_take(o, "key", key);
}

static int reply_with(VarlinkCall *call, Manager *m, const Key *k)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    return !o || add_key(o, m, k) < 0 ? -ENOMEM : varlink_call_reply(call, TAKE_PTR(o));
}

/* Sets or drops the step of a key, and replies with the key. */
static int plan(VarlinkCall *call, Manager *m, const LifeRequest *q, KeyStep step)
{
    _cleanup_(freep) char *detail = NULL;
    char what[96] = "is not planned to change any more, as asked", when[32];
    time_t at = (time_t)(q->at_usec / USEC_PER_SEC);
    struct tm tm;
    const Key *k;
    int r;

    /* A step waits while a controller needs its key. */
    if (q->plans && q->force)
        return varlink_call_invalid_parameter(call, "force");
    r = manager_plan(m, q->id, q->cancels ? KEY_STEP_NONE : step, q->at_usec, q->from_now, &detail);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    k = key_table_find(manager_keys(m), q->id);
    if (!k)
        return varlink_call_reply(call, NULL);
    if (!q->cancels && gmtime_r(&at, &tm) && strftime(when, sizeof(when), "%F %T UTC", &tm) > 0)
        (void)snprintf(what, sizeof(what), "planned to %s at %s", key_step_to_string(step), when);
    log_life(call, k, MESSAGE_KEY_PLANNED, what);
    return reply_with(call, m, k);
}

static int activate_now(Manager *m, const LifeRequest *q, char **reterr_detail)
{
    return manager_activate(m, q->id, false, reterr_detail);
}

static int retire_now(Manager *m, const LifeRequest *q, char **reterr_detail)
{
    return manager_retire(m, q->id, q->force, reterr_detail);
}

static int revoke_now(Manager *m, const LifeRequest *q, char **reterr_detail)
{
    return manager_revoke(m, q->id, q->force, reterr_detail);
}

typedef struct Verb {
    KeyStep step;
    int (*now)(Manager *m, const LifeRequest *q, char **reterr_detail);
    const char *message_id, *done;
} Verb;

static const Verb verb_activate = {KEY_STEP_ACTIVATE, activate_now, MESSAGE_KEY_ACTIVATED,
                                   "activated"};
static const Verb verb_retire = {KEY_STEP_RETIRE, retire_now, MESSAGE_KEY_RETIRED, "retired"};
static const Verb verb_revoke = {KEY_STEP_REVOKE, revoke_now, MESSAGE_KEY_REVOKED, "revoked"};

static int change(VarlinkCall *call, json_object *p, Manager *m, const Verb *verb)
{
    _cleanup_(freep) char *detail = NULL;
    const char *bad;
    LifeRequest q;
    const Key *k;
    int r;

    if (read_life(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (q.plans || q.cancels)
        return plan(call, m, &q, verb->step);
    r = verb->now(m, &q, &detail);
    k = key_table_find(manager_keys(m), q.id);
    /* The record has changed even if the keyring could not be. */
    if (k && (r == 0 || r == -ENOTCONN))
        log_life(call, k, verb->message_id, verb->done);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    if (!k)
        return varlink_call_reply(call, NULL);
    methods_log_unpublished(m, k);
    return reply_with(call, m, k);
}

/* A host that switches asks its targets first. */
static bool asks_targets(Manager *m, const char *id)
{
    const Key *k = key_table_find(manager_keys(m), id);

    return k && k->state != KEY_BROKEN && k->role & KEY_ROLE_HOST;
}

int method_activate(VarlinkCall *call, json_object *p, void *userdata)
{
    bool follow = false;
    ProbeTarget target;
    const char *bad;
    LifeRequest q;
    int r;

    if (read_life(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (json_get_bool(p, "follow", &follow) < 0)
        return varlink_call_invalid_parameter(call, "follow");
    r = methods_read_target(p, &target, &bad);
    if (r < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (q.plans || q.cancels || q.force || !asks_targets(userdata, q.id))
        return change(call, p, userdata, &verb_activate);
    return methods_try(call, userdata, q.id, r > 0 ? &target : NULL, follow);
}

int method_retire(VarlinkCall *call, json_object *p, void *userdata)
{
    return change(call, p, userdata, &verb_retire);
}

int method_revoke(VarlinkCall *call, json_object *p, void *userdata)
{
    return change(call, p, userdata, &verb_revoke);
}

int method_revert(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    bool force = false;
    const char *id;
    Key *k;
    int r;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    if (json_get_bool(p, "force", &force) < 0)
        return varlink_call_invalid_parameter(call, "force");
    r = manager_find_reverted(userdata, id, &k, &detail);
    if (r == 0 && !force && asks_targets(userdata, k->id))
        return methods_try(call, userdata, k->id, NULL, false);
    if (r == 0)
        r = manager_activate(userdata, k->id, false, &detail);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    log_life(call, k, MESSAGE_KEY_ACTIVATED, "activated again");
    methods_log_unpublished(userdata, k);
    return reply_with(call, userdata, k);
}

int method_remove(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(json_putp) json_object *reply = json_object_new_object();
    _cleanup_(freep) char *detail = NULL, *hostnqn = NULL, *subsysnqn = NULL;
    const char *bad;
    LifeRequest q;
    const Key *k;
    bool known;
    int r;

    if (read_life(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (q.plans || q.cancels)
        return plan(call, userdata, &q, KEY_STEP_REMOVE);
    /* All is copied, because manager_remove() frees the key. */
    k = key_table_find(manager_keys(userdata), q.id);
    if (!reply || (k && add_key(reply, userdata, k) < 0) ||
        (k && k->hostnqn &&
         (!(hostnqn = strdup(k->hostnqn)) || !(subsysnqn = strdup(k->subsysnqn)))))
        return -ENOMEM;
    known = k;
    r = manager_remove(userdata, q.id, q.force, &detail);
    /* The record may be gone although withdrawing the key failed. */
    if (known && !key_table_find(manager_keys(userdata), q.id))
        methods_log_change(call,
                           &(LogFields){.message_id = MESSAGE_KEY_REMOVED,
                                        .hostnqn = hostnqn,
                                        .subsysnqn = subsysnqn,
                                        .key_id = q.id},
                           "removed");
    return r < 0 ? methods_reply_failure(call, r, detail, NULL)
                 : varlink_call_reply(call, TAKE_PTR(reply));
}

static void log_rotation(VarlinkCall *call, const Key *k, const char *old_id, bool scheduled)
{
    char what[64];

    (void)snprintf(what, sizeof(what), "%s %s, rotated%s",
                   k->state == KEY_PENDING ? "succeeds" : "replaces", old_id,
                   scheduled ? " on its schedule" : "");
    log_life(call, k, MESSAGE_KEY_ROTATED, what);
}

static int add_warning(json_object *o, const char *warning)
{
    json_object *array;
    int r;

    if (!warning)
        return 0;
    array = json_object_new_array();
    r = json_add_take(o, "warnings", array);
    return r < 0 ? r : json_append_take(array, json_object_new_string(warning));
}

/* Reads the members of Rotate but the PSK. Returns 0, or -EINVAL with the member's name. */
static int read_rotation(json_object *p, LifeRequest *life, Rotation *q, bool *ret_psk,
                         const char **reterr_member)
{
    if (read_life(p, life, reterr_member) < 0 ||
        methods_read_request(p, &q->key, reterr_member) < 0)
        return -EINVAL;
    q->has_hash = json_object_object_get_ex(p, "hash", NULL);
    q->has_derivation = json_object_object_get_ex(p, "derivation", NULL);
    q->at_once = life->force;
    *reterr_member = "at";
    if (life->cancels)
        return -EINVAL;
    q->at_usec = life->plans ? life->at_usec : 0;
    q->from_now = life->from_now;
    *reterr_member = "scheduled";
    if (json_get_bool(p, "scheduled", &q->scheduled) < 0 ||
        (q->scheduled && (life->force || q->at_usec > 0)))
        return -EINVAL;
    *reterr_member = "returnPSK";
    if (json_get_bool(p, "returnPSK", ret_psk) < 0)
        return -EINVAL;
    *reterr_member = "dryRun";
    if (json_get_bool(p, "dryRun", &q->key.dry_run) < 0)
        return -EINVAL;
    *reterr_member = "samePSK";
    return json_get_bool(p, "samePSK", &q->same_psk) < 0 ? -EINVAL : 0;
}

int method_rotate(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = json_object_new_object();
    _cleanup_(freep) char *detail = NULL, *warning = NULL;
    _cleanup_(secret_freep) Secret *psk = NULL;
    Rotation q = {.same_psk = false};
    bool return_psk = false;
    LifeRequest life;
    const char *bad;
    Key *k;
    int r;

    if (!o)
        return -ENOMEM;
    if (read_rotation(p, &life, &q, &return_psk, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    r = methods_read_psk(p, &q.key, &psk, &bad);
    if (r < 0)
        return methods_reply_invalid_psk(call, r, bad);
    if (r > 0 && q.same_psk)
        return varlink_call_invalid_parameter(call, "samePSK");
    /* The text of a PSK has its hash. */
    q.has_hash |= r > 0;

    r = manager_rotate(userdata, life.id, &q, &k, &warning, &detail);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    if (!q.key.dry_run) {
        log_rotation(call, k, life.id, q.scheduled);
        methods_log_unpublished(userdata, k);
    }
    if (add_key(o, userdata, k) < 0 || add_warning(o, warning) < 0)
        return -ENOMEM;
    if (q.key.dry_run || !return_psk)
        return varlink_call_reply(call, TAKE_PTR(o));
    r = methods_add_psk(o, k);
    return r < 0 ? r : varlink_call_reply_sensitive(call, TAKE_PTR(o));
}

int method_schedule(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    const char *id;
    uint64_t sec;
    const Key *k;
    int r;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    if (json_get_uint(p, "rotateAfterSec", LIFETIME_SEC_MAX, &sec) <= 0)
        return varlink_call_invalid_parameter(call, "rotateAfterSec");
    r = manager_schedule(userdata, id, sec * USEC_PER_SEC, &detail);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    k = key_table_find(manager_keys(userdata), id);
    log_life(call, k, MESSAGE_KEY_PLANNED,
             sec > 0 ? "scheduled for rotation" : "not scheduled for rotation any more");
    return reply_with(call, userdata, k);
}
