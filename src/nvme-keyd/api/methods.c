/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/api/description.h"
#include "nvme-keyd/api/key-json.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/keys/broken.h"
#include "varlink/json-wire.h"

/* Errors of the Manager and their names on the wire. Any other error is one of the store. */
static const struct {
    int error;
    const char *name;
} error_names[] = {
    {-EINVAL, NAMES_MANAGER_INTERFACE ".InvalidKey"},
    {-ENOENT, NAMES_MANAGER_INTERFACE ".NoSuchKey"},
    {-EEXIST, NAMES_MANAGER_INTERFACE ".KeyExists"},
    {-ENOTUNIQ, NAMES_MANAGER_INTERFACE ".KeyShadowed"},
    {-EBUSY, NAMES_MANAGER_INTERFACE ".WrongState"},
    {-EADDRINUSE, NAMES_MANAGER_INTERFACE ".KeyNeeded"},
    {-ENODATA, NAMES_MANAGER_INTERFACE ".NoHostNQN"},
    {-ENOTCONN, NAMES_MANAGER_INTERFACE ".KeyringFailed"},
};

int methods_reply_error(VarlinkCall *call, const char *name, const char *message, const char *id)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_string(o, "message", message) < 0 ||
        (id && json_add_string(o, "id", id) < 0))
        return -ENOMEM;
    return varlink_call_error(call, name, TAKE_PTR(o));
}

int methods_reply_failure(VarlinkCall *call, int error, const char *detail, const Key *other)
{
    const char *name = NAMES_MANAGER_INTERFACE ".StoreUnavailable";

    if (error == -ENOMEM)
        return error;
    for (size_t i = 0; i < ARRAY_SIZE(error_names); i++)
        if (error_names[i].error == error)
            name = error_names[i].name;
    return methods_reply_error(call, name, detail ? detail : strerror(-error),
                               other ? other->id : NULL);
}

void methods_log_change(VarlinkCall *call, const LogFields *key, const char *what)
{
    (void)log_full(LOG_INFO, 0, key, "Key %s for host %s and subsystem %s %s by uid %u",
                   key->key_id, key->hostnqn ? key->hostnqn : "(unknown)",
                   key->subsysnqn ? key->subsysnqn : "(unknown)", what,
                   (unsigned)varlink_call_peer(call)->uid);
}

LogFields methods_fields_of(const char *message_id, const Key *k)
{
    return (LogFields){.message_id = message_id,
                       .hostnqn = k->hostnqn,
                       .subsysnqn = k->subsysnqn,
                       .key_id = k->id};
}

void methods_log_unpublished(const Manager *m, const Key *k)
{
    const LogFields fields = methods_fields_of(NULL, k);
    int error = publisher_error(manager_publisher(m));

    /* A host does not publish a pending key. */
    if (key_is_publishable(k, now_realtime()) && publisher_lacks(manager_publisher(m), k))
        (void)log_full(LOG_WARNING, 0, &fields, "Key %s is stored, but not in the keyring: %s",
                       k->id, error < 0 ? ring_error_text(error) : "see nvme-keyctl status");
}

int methods_read_request(json_object *p, KeyRequest *q, const char **reterr_member)
{
    const char *s;
    int r;

#define OPTIONAL_ENUM(member, from_string, target)                                                 \
    do {                                                                                           \
        *reterr_member = (member);                                                                 \
        r = json_get_string(p, member, &s);                                                        \
        if (r < 0 || (r > 0 && from_string(s, target) < 0))                                        \
            return -EINVAL;                                                                        \
    } while (0)

    OPTIONAL_ENUM("hash", psk_hash_from_string, &q->hash);
    OPTIONAL_ENUM("role", key_role_from_string, &q->role);
    OPTIONAL_ENUM("derivation", psk_derivation_from_string, &q->derivation);
#undef OPTIONAL_ENUM

    *reterr_member = "identityVersions";
    if (key_versions_from_json(p, &q->versions) < 0)
        return -EINVAL;
    *reterr_member = "force";
    if (json_get_bool(p, "force", &q->force) < 0)
        return -EINVAL;
    *reterr_member = "hostNQN";
    if (json_get_string(p, "hostNQN", &q->hostnqn) < 0)
        return -EINVAL;
    *reterr_member = "subsystemNQN";
    if (json_get_string(p, "subsystemNQN", &q->subsysnqn) < 0)
        return -EINVAL;
    *reterr_member = "expiresInSec";
    r = json_get_uint(p, "expiresInSec", LIFETIME_SEC_MAX, &q->lifetime_usec);
    if (r < 0 || (r > 0 && q->lifetime_usec == 0))
        return -EINVAL;
    q->lifetime_usec *= USEC_PER_SEC;
    *reterr_member = "rotateAfterSec";
    r = json_get_uint(p, "rotateAfterSec", LIFETIME_SEC_MAX, &q->rotate_usec);
    if (r < 0 || (r > 0 && q->rotate_usec == 0))
        return -EINVAL;
    q->rotate_usec *= USEC_PER_SEC;
    *reterr_member = "comment";
    r = json_get_string(p, "comment", &q->comment);
    if (r < 0 ||
        (r > 0 && (strlen(q->comment) > COMMENT_LENGTH_MAX || !text_is_printable(q->comment))))
        return -EINVAL;
    return 0;
}

int methods_read_id(json_object *p, const char **ret)
{
    return json_get_string(p, "id", ret) > 0 ? 0 : -EINVAL;
}

int methods_read_psk(json_object *p, KeyRequest *q, Secret **ret, const char **reterr_detail)
{
    const char *s;
    int r = json_get_string(p, "psk", &s);

    if (r <= 0)
        return r;
    r = psk_interchange_parse(s, strlen(s), &q->hash, ret);
    if (r < 0)
        return r;
    if (r > 0) {
        *reterr_detail = psk_error_text(r);
        return -EBADMSG;
    }
    q->configured = *ret;
    return 1;
}

int methods_reply_invalid_psk(VarlinkCall *call, int error, const char *detail)
{
    if (error == -EBADMSG)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".InvalidKey", detail, NULL);
    return error == -ENOMEM ? error : varlink_call_invalid_parameter(call, "psk");
}

int methods_add_psk(json_object *o, const Key *k)
{
    _cleanup_(secret_freep) Secret *payload = NULL, *configured = NULL, *text = NULL;
    const uint8_t *bytes;
    size_t size;
    int r;

    if ((r = key_unseal(k, &payload)) < 0 ||
        (r = key_payload_configured(payload, &bytes, &size)) < 0)
        return r;
    configured = secret_new_copy(bytes, size);
    if (!configured)
        return -ENOMEM;
    r = psk_interchange_format(k->hash, configured, &text);
    return r != 0 ? (r < 0 ? r : -EBADMSG) : json_add_string(o, "psk", (const char *)text->data);
}

/* Replies with a key, and with its PSK if the caller asked for it. */
static int reply_key(VarlinkCall *call, Manager *m, const Key *k, bool with_psk)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = json_object_new_object();
    _cleanup_(json_putp) json_object *key = NULL;
    int r;

    if (!o)
        return -ENOMEM;
    if ((r = methods_describe_key(m, k, publisher_on_demand_sec(manager_publisher(m)), &key)) < 0 ||
        (r = json_add_take(o, "key", TAKE_PTR(key))) < 0 || (r = methods_add_made(o, m)) < 0)
        return r;
    if (!with_psk)
        return varlink_call_reply(call, TAKE_PTR(o));
    r = methods_add_psk(o, k);
    return r < 0 ? r : varlink_call_reply_sensitive(call, TAKE_PTR(o));
}

/* A call whose key is added. */
typedef struct Adding {
    VarlinkCall *call;
    Manager *manager;
    bool return_psk;
} Adding;

static void on_added(int error, Key *k, const char *detail, void *userdata)
{
    _cleanup_(freep) Adding *a = userdata;
    LogFields fields;
    int r;

    if (error < 0) {
        r = methods_reply_failure(a->call, error, detail, k);
    } else {
        fields = methods_fields_of(MESSAGE_KEY_ADDED, k);
        methods_log_change(a->call, &fields, "added");
        methods_log_unpublished(a->manager, k);
        r = reply_key(a->call, a->manager, k, a->return_psk);
    }
    varlink_held_call_end(a->call, r);
}

static int add(VarlinkCall *call, Manager *m, const KeyRequest *q, bool return_psk)
{
    _cleanup_(freep) Adding *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    *a = (Adding){varlink_call_hold(call), m, return_psk};
    if (!a->call)
        return -ENOMEM;
    manager_add(m, q, on_added, TAKE_PTR(a));
    return 0;
}

static int check_add(VarlinkCall *call, Manager *m, const KeyRequest *q)
{
    _cleanup_(freep) char *detail = NULL;
    Key *other = NULL;
    int r = manager_check_add(m, q, &other, &detail);

    return r < 0 ? methods_reply_failure(call, r, detail, other) : varlink_call_reply(call, NULL);
}

/* Commits the keys of all calls that wait for it. */
static void flush(void *userdata)
{
    manager_commit(userdata);
}

static int method_add(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    KeyRequest q = {.role = KEY_ROLE_HOST};
    const char *bad;
    int r;

    if (methods_read_request(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (!q.subsysnqn)
        return varlink_call_invalid_parameter(call, "subsystemNQN");
    if (json_get_bool(p, "dryRun", &q.dry_run) < 0)
        return varlink_call_invalid_parameter(call, "dryRun");
    r = methods_read_psk(p, &q, &psk, &bad);
    if (r < 0 || (r == 0 && !q.dry_run))
        return methods_reply_invalid_psk(call, r, bad);
    return q.dry_run ? check_add(call, userdata, &q) : add(call, userdata, &q, false);
}

static int method_generate(VarlinkCall *call, json_object *p, void *userdata)
{
    KeyRequest q = {.role = KEY_ROLE_HOST, .hash = PSK_HASH_SHA256};
    bool return_psk = false;
    const char *bad;

    if (methods_read_request(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    if (!q.subsysnqn)
        return varlink_call_invalid_parameter(call, "subsystemNQN");
    if (json_get_bool(p, "returnPSK", &return_psk) < 0)
        return varlink_call_invalid_parameter(call, "returnPSK");
    return add(call, userdata, &q, return_psk);
}

static int method_sync(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const Vault *vault = manager_vault(userdata);
    _cleanup_(freep) char *why = NULL;
    ReconcileResult s = {0};
    int r = manager_sync(userdata, &s);

    publisher_take_changes(manager_publisher(userdata), &s);

    (void)p;
    if (r == -ENOKEY)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".KeyringAbsent",
                                   PUBLISHER_NO_RING_YET, NULL);
    if (vault_error(vault) < 0)
        return methods_reply_failure(call, -EIO, vault_detail(vault), NULL);
    if (r < 0 && s.unreadable)
        why = broken_explain(s.unreadable, r);
    if (r < 0)
        return why ? methods_reply_failure(call, -EIO, why, NULL)
                   : methods_reply_error(call, NAMES_MANAGER_INTERFACE ".KeyringFailed",
                                         ring_error_text(r), NULL);
    if (!o || json_add_uint(o, "added", s.added) < 0 || json_add_uint(o, "kept", s.kept) < 0 ||
        json_add_uint(o, "removed", s.removed) < 0 || json_add_uint(o, "held", s.held) < 0 ||
        json_add_uint(o, "failed", s.failed) < 0 ||
        json_add_uint(o, "broken", broken_count(manager_keys(userdata))) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

/* Opens when the store is open, absent or unavailable. */
static bool gate_store(_unused_ const VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    return vault_await(manager_vault(userdata));
}

/* A known key need not wait for the store. */
static bool gate_key(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    const char *id;

    return methods_read_id(p, &id) < 0 || key_table_find(manager_keys(userdata), id) ||
           vault_await(manager_vault(userdata));
}

/* A store is made only for a key that would be added to it. */
static bool gate_add(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    KeyRequest q = {.role = KEY_ROLE_HOST};
    const char *bad;
    int r;

    if (methods_read_request(p, &q, &bad) < 0 || !q.subsysnqn ||
        json_get_bool(p, "dryRun", &q.dry_run) < 0)
        return true;
    r = methods_read_psk(p, &q, &psk, &bad);
    return r < 0 || (r == 0 && !q.dry_run) || manager_await_add(userdata, &q);
}

static bool gate_generate(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    KeyRequest q = {.role = KEY_ROLE_HOST, .hash = PSK_HASH_SHA256};
    const char *bad;

    return methods_read_request(p, &q, &bad) < 0 || !q.subsysnqn || manager_await_add(userdata, &q);
}

static bool gate_sync(_unused_ const VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    return manager_await_sync(userdata);
}

/* One line in the journal for many calls. */
static int turn_away(VarlinkCall *call, bool first)
{
    if (first)
        (void)log_warning("Too many calls with PSKs wait for the store: further ones are refused "
                          "until it is open");
    return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".TooManyCalls",
                               "too many calls with PSKs wait for the store, so nothing was done: "
                               "try again once nvme-keyctl status shows that it is open",
                               NULL);
}

#define NEW_KEY                                                                                    \
    "subsystemNQN", "hostNQN", "role", "identityVersions", "derivation", "comment", "force",       \
        "expiresInSec", "rotateAfterSec"

static const char *const add_parameters[] = {NEW_KEY, "psk", "dryRun", NULL};
static const char *const generate_parameters[] = {NEW_KEY, "hash", "returnPSK", NULL};
static const char *const rotate_parameters[] = {
    "id",         "psk",       "samePSK",      "hash",      "identityVersions",
    "derivation", "comment",   "expiresInSec", "at",        "in",
    "force",      "returnPSK", "dryRun",       "scheduled", NULL};
static const char *const schedule_parameters[] = {"id", "rotateAfterSec", NULL};
static const char *const import_parameters[] = {
    "keys", "dryRun", "role", "identityVersions", "derivation", "force", "forceFor", NULL};
static const char *const adopt_parameters[] = {
    "serial", "identity", "id", "hostNQN", "subsystemNQN", "role", "force", "dryRun", NULL};
static const char *const store_image_parameters[] = {"subsystemNQNs", NULL};
static const char *const id_parameters[] = {"id", NULL};
static const char *const probe_parameters[] = {"id",          "address",       "port",
                                               "hostAddress", "hostInterface", NULL};
#define SEAL "comment", "tpm2PCRs", "tpm2Bank", "withKey", "rollbackCounter", "newTPM"
static const char *const add_slot_parameters[] = {"type", SEAL, NULL};
static const char *const reseal_slot_parameters[] = {"id", SEAL, NULL};
static const char *const life_parameters[] = {"id", "force", "at", "in", NULL};
static const char *const activate_parameters[] = {
    "id", "force", "at", "in", "follow", "address", "port", "hostAddress", "hostInterface", NULL};
static const char *const remove_slot_parameters[] = {"id", "force", NULL};
static const char *const remove_counter_parameters[] = {"index", NULL};
static const char *const unlock_parameters[] = {"recoveryKey", NULL};
static const char *const stage_backup_parameters[] = {"offset", "content", NULL};
static const char *const restore_parameters[] = {"recoveryKey", "force", NULL};
static const char *const machine_parameters[] = {"withRequest", NULL};
static const char *const trust_parameters[] = {"certificate", NULL};
static const char *const distrust_parameters[] = {"fingerprint", NULL};
static const char *const take_parameters[] = {"envelope", NULL};
static const char *const no_parameters[] = {NULL};

static const VarlinkMethod methods[] = {
    {"Add", VARLINK_METHOD_ROOT | VARLINK_METHOD_SENSITIVE | VARLINK_METHOD_BATCH, method_add,
     add_parameters, gate_add},
    {"Generate", VARLINK_METHOD_ROOT | VARLINK_METHOD_BATCH, method_generate, generate_parameters,
     gate_generate},
    {"Import", VARLINK_METHOD_ROOT | VARLINK_METHOD_SENSITIVE, method_import, import_parameters,
     gate_import},
    {"Adopt", VARLINK_METHOD_ROOT, method_adopt, adopt_parameters, gate_adopt},
    {"List", VARLINK_METHOD_MORE_REQUIRED, method_list, no_parameters, gate_store},
    {"Describe", 0, method_describe, id_parameters, gate_key},
    {"Rotate", VARLINK_METHOD_ROOT | VARLINK_METHOD_SENSITIVE, method_rotate, rotate_parameters,
     gate_key},
    {"Schedule", VARLINK_METHOD_ROOT, method_schedule, schedule_parameters, gate_key},
    {"Activate", VARLINK_METHOD_ROOT, method_activate, activate_parameters, gate_key},
    {"Revert", VARLINK_METHOD_ROOT, method_revert, remove_slot_parameters, gate_key},
    {"Retire", VARLINK_METHOD_ROOT, method_retire, life_parameters, gate_key},
    {"Revoke", VARLINK_METHOD_ROOT, method_revoke, life_parameters, gate_key},
    {"Remove", VARLINK_METHOD_ROOT, method_remove, life_parameters, gate_key},
    {"Probe", VARLINK_METHOD_ROOT, method_probe, probe_parameters, gate_key},
    {"Sync", VARLINK_METHOD_ROOT, method_sync, no_parameters, gate_sync},
    {"Monitor", VARLINK_METHOD_MORE_REQUIRED, method_monitor, no_parameters, NULL},
    {"ListControllers", VARLINK_METHOD_MORE_REQUIRED, method_list_controllers, no_parameters,
     gate_store},
    {"ListHosts", VARLINK_METHOD_MORE_REQUIRED, method_list_hosts, no_parameters, gate_store},
    {"Export", VARLINK_METHOD_ROOT, method_export, id_parameters, gate_key},
    {"StoreImage", VARLINK_METHOD_ROOT | VARLINK_METHOD_MORE_REQUIRED, method_store_image,
     store_image_parameters, gate_store},
    {"Backup", VARLINK_METHOD_ROOT | VARLINK_METHOD_MORE_REQUIRED, method_backup, no_parameters,
     gate_store},
    {"StageBackup", VARLINK_METHOD_ROOT, method_stage_backup, stage_backup_parameters, NULL},
    {"Restore", VARLINK_METHOD_ROOT | VARLINK_METHOD_SENSITIVE, method_restore, restore_parameters,
     gate_store},
    {"ListSlots", 0, method_list_slots, no_parameters, gate_store},
    {"AddSlot", VARLINK_METHOD_ROOT, method_add_slot, add_slot_parameters, gate_add_slot},
    {"ResealSlot", VARLINK_METHOD_ROOT, method_reseal_slot, reseal_slot_parameters, gate_store},
    {"RemoveSlot", VARLINK_METHOD_ROOT, method_remove_slot, remove_slot_parameters, gate_store},
    {"RemoveCounter", VARLINK_METHOD_ROOT, method_remove_counter, remove_counter_parameters, NULL},
    {"Unlock", VARLINK_METHOD_ROOT | VARLINK_METHOD_SENSITIVE, method_unlock, unlock_parameters,
     NULL},
    {"Machine", VARLINK_METHOD_ROOT, method_machine, machine_parameters, gate_new_store},
    {"TrustIssuer", VARLINK_METHOD_ROOT, method_trust_issuer, trust_parameters, gate_new_store},
    {"DistrustIssuer", VARLINK_METHOD_ROOT, method_distrust_issuer, distrust_parameters,
     gate_store},
    {"ListIssuers", VARLINK_METHOD_ROOT, method_list_issuers, no_parameters, gate_store},
    {"TakeEnvelope", VARLINK_METHOD_ROOT, method_take_envelope, take_parameters, gate_store},
    {"ListPairs", VARLINK_METHOD_MORE_REQUIRED, method_list_pairs, no_parameters, gate_store},
    {"Status", 0, method_status, no_parameters, gate_status},
    {NULL, 0, NULL, NULL, NULL},
};

const VarlinkInterface manager_interface = {
    NAMES_MANAGER_INTERFACE, manager_description, methods, flush, turn_away,
};
