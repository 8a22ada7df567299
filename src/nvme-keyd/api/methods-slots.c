/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/log.h"
#include "basic/names.h"
#include "basic/text.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/host-key.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/recovery-key.h"
#include "credstore/slot-warnings.h"
#include "nvme-keyd/api/methods-private.h"
#include "varlink/json-wire.h"

/* The methods about slots, and Unlock. */

static const struct {
    int error;
    const char *name;
} slot_errors[] = {
    {-ENOENT, NAMES_MANAGER_INTERFACE ".NoSuchSlot"},
    {-EPERM, NAMES_MANAGER_INTERFACE ".LastSlot"},
    {-EINVAL, NAMES_MANAGER_INTERFACE ".InvalidSlot"},
    {-E2BIG, NAMES_MANAGER_INTERFACE ".InvalidSlot"},
    {-EEXIST, NAMES_MANAGER_INTERFACE ".InvalidSlot"},
    {-EALREADY, NAMES_MANAGER_INTERFACE ".StoreOpen"},
    {-ENOMEDIUM, NAMES_MANAGER_INTERFACE ".StoreAbsent"},
};

static int add_types(json_object *o, const Store *s)
{
    json_object *types = json_object_new_array(), *slots = store_slots(s);
    int r = json_add_take(o, "storeMadeBy", types);

    for (size_t i = 0; r == 0 && i < json_object_array_length(slots); i++) {
        const char *type = "";

        (void)json_get_string(json_object_array_get_idx(slots, i), "type", &type);
        r = json_append_take(types, json_object_new_string(type));
    }
    return r;
}

int methods_add_made(json_object *reply, Manager *m)
{
    json_object *warnings = NULL;
    int r;

    if (!manager_store(m) || !vault_take_new(manager_vault(m)))
        return 0;
    r = add_types(reply, manager_store(m));
    if (r == 0)
        r = vault_new_warnings(manager_vault(m), &warnings);
    return r < 0 ? r : json_add_take(reply, "warnings", warnings);
}

static int reply_slot_failure(VarlinkCall *call, const Manager *m, int error, const char *detail)
{
    const char *name = manager_store(m) ? NAMES_MANAGER_INTERFACE ".SlotFailed"
                                        : NAMES_MANAGER_INTERFACE ".StoreUnavailable";

    if (error == -ENOMEM)
        return error;
    for (size_t i = 0; i < ARRAY_SIZE(slot_errors); i++)
        if (slot_errors[i].error == error)
            name = slot_errors[i].name;
    return methods_reply_error(call, name, detail ? detail : strerror(-error), NULL);
}

static void log_slot(VarlinkCall *call, const char *id, const char *type, const char *what)
{
    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_SLOT_CHANGED},
                   "Slot %s%s%s%s %s by uid %u", id, type ? " (" : "", type ? type : "",
                   type ? ")" : "", what, (unsigned)varlink_call_peer(call)->uid);
}

/* Logged at notice, because an attacker who replaces the TPM needs this step as well. */
static void log_new_tpm(VarlinkCall *call, const char *id)
{
    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_NEW_TPM},
                   "Slot %s (tpm2) is sealed by another TPM than the store knew: uid %u let the "
                   "store trust it",
                   id, (unsigned)varlink_call_peer(call)->uid);
}

/* A reply with a recovery key is erased after it was sent, with all texts that it holds. */
static int copy_member(json_object *slot, const char *from, const char *to, json_object *o)
{
    json_object *value, *copy = NULL;

    if (!json_object_object_get_ex(slot, from, &value))
        return 0;
    return json_object_deep_copy(value, &copy, NULL) < 0 ? -ENOMEM : json_add_take(o, to, copy);
}

/* A slot without its sealed members. Members of a store that is not open may be anything, so they
 * are only checked for their type. */
static int slot_to_json(json_object *slot, bool opened, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const char *id = "", *type = "", *text;
    json_object *pcrs;
    uint64_t created;
    int r = 0;

    (void)json_get_string(slot, "id", &id);
    (void)json_get_string(slot, "type", &type);
    if (!o || json_add_string(o, "id", id) < 0 || json_add_string(o, "type", type) < 0)
        return -ENOMEM;
    if (json_get_array(slot, "pcrs", &pcrs) > 0)
        r |= copy_member(slot, "pcrs", "pcrs", o);
    if (json_get_array(slot, "unmeasured", &pcrs) > 0)
        r |= copy_member(slot, "unmeasured", "unmeasured", o);
    if (json_get_string(slot, "bank", &text) > 0)
        r |= copy_member(slot, "bank", "bank", o);
    if (json_get_uint(slot, "created", INT64_MAX, &created) > 0)
        r |= copy_member(slot, "created", "created", o);
    if (json_get_string(slot, "comment", &text) > 0)
        r |= copy_member(slot, "comment", "comment", o);
    if (strcmp(type, "systemd-creds") == 0)
        r |= json_add_string(o, "withKey", creds_blob_key_name(slot));
    if (r < 0 || json_add_bool(o, "opened", opened) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 0;
}

static bool opened_store(const Manager *m, json_object *slot)
{
    return manager_store(m) && store_opened_by(manager_store(m)) == slot;
}

int method_list_slots(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *slots = NULL;
    json_object *array = json_object_new_array(), *warnings = NULL;
    _cleanup_(freep) char *detail = NULL;
    Manager *m = userdata;
    int r;

    if (!o || json_add_take(o, "slots", array) < 0)
        return -ENOMEM;
    /* Also of a store that is not open, because its slots may show why. */
    r = vault_slots(manager_vault(m), &slots, &detail);
    if (r < 0)
        return reply_slot_failure(call, m, r, detail);
    for (size_t i = 0; i < json_object_array_length(slots); i++) {
        json_object *slot = json_object_array_get_idx(slots, i), *shown;

        if (slot_to_json(slot, opened_store(m, slot), &shown) < 0 ||
            json_append_take(array, shown) < 0)
            return -ENOMEM;
    }
    /* The slots of a store that is not open are not authentic, so warnings about them would prove
     * nothing. */
    warnings = manager_store(m) ? NULL : json_object_new_array();
    if ((manager_store(m) && slot_warnings(slots, &warnings) < 0) ||
        json_add_take(o, "warnings", warnings) < 0)
        return -ENOMEM;
    if (json_add_bool(o, "authentic", manager_store(m) != NULL) < 0 ||
        json_add_bool(o, "rollbackCounter",
                      manager_store(m) && store_has_counter(manager_store(m))) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

static int add_recovery_key(json_object *o, const Secret *key)
{
    _cleanup_(secret_freep) Secret *text = NULL;
    int r = recovery_key_format(key, &text);

    return r < 0 ? r : json_add_string(o, "recoveryKey", (const char *)text->data);
}

/* warnings: taken, or NULL. */
static int reply_slot(VarlinkCall *call, Manager *m, json_object *slot, json_object *warnings,
                      const Secret *key)
{
    _cleanup_(varlink_json_erase_putp) json_object *o = json_object_new_object();
    _cleanup_(json_putp) json_object *own = warnings;
    json_object *shown;
    int r;

    if (!o || slot_to_json(slot, opened_store(m, slot), &shown) < 0 ||
        json_add_take(o, "slot", shown) < 0)
        return -ENOMEM;
    if (own && json_add_take(o, "warnings", TAKE_PTR(own)) < 0)
        return -ENOMEM;
    /* If the store is new, these replace the warnings above, because they cover all of its
     * slots. */
    if (methods_add_made(o, m) < 0)
        return -ENOMEM;
    if (!key)
        return varlink_call_reply(call, TAKE_PTR(o));
    r = add_recovery_key(o, key);
    return r < 0 ? r : varlink_call_reply_sensitive(call, TAKE_PTR(o));
}

/* Reads {comment, tpm2PCRs, tpm2Bank, withKey, rollbackCounter, newTPM}; each may be absent.
 * Returns -EINVAL with the member's name. */
static int read_options(json_object *p, SlotOptions *options, const char **reterr_member)
{
    json_object *pcrs;
    int r;

    *reterr_member = "comment";
    r = json_get_string(p, "comment", &options->comment);
    if (r < 0 || (r > 0 && (strlen(options->comment) > COMMENT_LENGTH_MAX ||
                            !text_is_printable(options->comment))))
        return -EINVAL;
    *reterr_member = "withKey";
    if (json_get_string(p, "withKey", &options->with_key) < 0)
        return -EINVAL;
    *reterr_member = "rollbackCounter";
    if (json_get_bool(p, "rollbackCounter", &options->rollback_counter) < 0)
        return -EINVAL;
    *reterr_member = "tpm2Bank";
    if (json_get_string(p, "tpm2Bank", &options->bank) < 0)
        return -EINVAL;
    *reterr_member = "newTPM";
    if (json_get_bool(p, "newTPM", &options->new_tpm) < 0)
        return -EINVAL;
    *reterr_member = "tpm2PCRs";
    r = json_get_array(p, "tpm2PCRs", &pcrs);
    if (r <= 0)
        return r;
    options->pcrs_given = true;
    for (size_t i = 0; i < json_object_array_length(pcrs); i++) {
        json_object *pcr = json_object_array_get_idx(pcrs, i);
        int64_t n = json_object_get_int64(pcr);

        if (!json_object_is_type(pcr, json_type_int) || n < 0 || n >= TPM2_PCRS)
            return -EINVAL;
        options->pcrs |= UINT32_C(1) << n;
    }
    return 0;
}

static void log_warnings(json_object *warnings)
{
    for (size_t i = 0; i < json_object_array_length(warnings); i++)
        (void)log_full(LOG_WARNING, 0, &(LogFields){.message_id = MESSAGE_SLOT_WARNING},
                       "Slot warning: %s",
                       json_object_get_string(json_object_array_get_idx(warnings, i)));
}

void methods_log_host_key(const Manager *m)
{
    static const LogFields transient = {.message_id = MESSAGE_HOST_KEY_TRANSIENT};
    HostKey key = host_key_of_system();

    if (creds_blobs_need_host_key(store_slots(manager_store(m))) && host_key_is_transient(&key))
        (void)log_full(
            LOG_WARNING, 0, &transient,
            "Only the host key opens the store, and %s is in memory: after a boot "
            "with another machine id the store stays locked. Save the machine id to disk "
            "(systemd-machine-id-setup --commit), or add a recovery key "
            "(nvme-keyctl slot add recovery)",
            key.machine_id);
}

static int reply_sealed(VarlinkCall *call, Manager *m, const SealedSlot *sealed, bool resealed)
{
    json_object *slot = store_find_slot(manager_store(m), sealed->id), *warnings = NULL;
    const char *type = NULL;
    int r;

    (void)json_get_string(slot, "type", &type);
    log_slot(call, sealed->id, type, resealed ? "resealed" : "added");
    if (sealed->new_tpm)
        log_new_tpm(call, sealed->id);
    methods_log_host_key(m);
    r = slot_warnings_of(store_slots(manager_store(m)), sealed->id, !resealed, &warnings);
    if (r == -ENOMEM)
        return r;
    log_warnings(warnings);
    return reply_slot(call, m, slot, warnings, sealed->recovery_key);
}

/* A held call that waits for its slot to be sealed, or for a counter to be removed. */
typedef struct HeldCall {
    VarlinkCall *call;
    Manager *manager;
    bool resealed;
    uint32_t counter;
} HeldCall;

/* Returns NULL without memory. */
static HeldCall *hold(VarlinkCall *call, Manager *m)
{
    HeldCall *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->manager = m;
    h->call = varlink_call_hold(call);
    if (!h->call)
        free(TAKE_PTR(h));
    return h;
}

static int put_and_reply(const HeldCall *h, const Secret *slot)
{
    _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
    _cleanup_(freep) char *detail = NULL;
    int r = vault_put_slot(manager_vault(h->manager), slot, &sealed, &detail);

    return r < 0 ? reply_slot_failure(h->call, h->manager, r, detail)
                 : reply_sealed(h->call, h->manager, &sealed, h->resealed);
}

static void on_sealed(int error, const Secret *slot, const char *detail, void *userdata)
{
    HeldCall *h = userdata;
    bool lost = varlink_held_call_is_lost(h->call);
    int r = 0;

    /* No other caller may get a slot that this one asked for. */
    if (!lost)
        r = slot ? put_and_reply(h, slot) : reply_slot_failure(h->call, h->manager, error, detail);
    varlink_held_call_end(h->call, r);
    free(h);
}

static int seal_slot(VarlinkCall *call, Manager *m, const SlotRequest *q)
{
    _cleanup_(sealed_slot_done) SealedSlot sealed = {.id = ""};
    _cleanup_(freep) char *detail = NULL;
    HeldCall *h;
    int r;

    if (strcmp(q->type, "recovery") == 0) {
        r = vault_add_recovery(manager_vault(m), q, &sealed, &detail);
        return r < 0 ? reply_slot_failure(call, m, r, detail)
                     : reply_sealed(call, m, &sealed, q->replaces);
    }
    h = hold(call, m);
    if (!h)
        return -ENOMEM;
    h->resealed = q->replaces;
    vault_seal_slot(manager_vault(m), q, on_sealed, h);
    return 0;
}

/* Returns an option that does not belong to the type of slot, or NULL. */
static const char *find_foreign(const SlotRequest *q)
{
    if (q->options.pcrs_given && strcmp(q->type, "tpm2") != 0)
        return "tpm2PCRs";
    if (q->options.bank && strcmp(q->type, "tpm2") != 0)
        return "tpm2Bank";
    if (q->options.rollback_counter && strcmp(q->type, "tpm2") != 0)
        return "rollbackCounter";
    if (q->options.new_tpm && strcmp(q->type, "tpm2") != 0)
        return "newTPM";
    return q->options.with_key && strcmp(q->type, "systemd-creds") != 0 ? "withKey" : NULL;
}

/* Returns -EINVAL with the member's name. */
static int read_slot(json_object *p, SlotRequest *q, const char **reterr_member)
{
    *reterr_member = "type";
    if (json_get_string(p, "type", &q->type) <= 0 ||
        read_options(p, &q->options, reterr_member) < 0)
        return -EINVAL;
    *reterr_member = find_foreign(q);
    return *reterr_member ? -EINVAL : 0;
}

/* A call that will fail must not cause a store to be made. */
bool gate_add_slot(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    Vault *v = manager_vault(userdata);
    SlotRequest q = {.replaces = NULL};
    const char *bad;

    return read_slot(p, &q, &bad) < 0 || !store_has_slot_type(q.type) || vault_await_new(v);
}

static int require_store(Manager *m, const char *type, char **reterr_detail)
{
    if (!store_has_slot_type(type))
        return detail_set(reterr_detail, -EINVAL, "there are no slots of type \"%s\"", type);
    return vault_require_store(manager_vault(m), reterr_detail);
}

int method_add_slot(VarlinkCall *call, json_object *p, void *userdata)
{
    SlotRequest q = {.replaces = NULL};
    _cleanup_(freep) char *detail = NULL;
    const char *bad;
    int r;

    if (read_slot(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    r = require_store(userdata, q.type, &detail);
    return r < 0 ? reply_slot_failure(call, userdata, r, detail) : seal_slot(call, userdata, &q);
}

/* Takes the present PCRs of the slot, and their bank; bank_kept allows a better one. */
static void keep_pcrs(json_object *slot, SlotOptions *options)
{
    json_object *pcrs;

    if (options->pcrs_given || json_get_array(slot, "pcrs", &pcrs) <= 0)
        return;
    if (!options->bank && json_get_string(slot, "bank", &options->bank) > 0)
        options->bank_kept = true;
    options->pcrs_given = true;
    for (size_t i = 0; i < json_object_array_length(pcrs); i++)
        options->pcrs |= UINT32_C(1)
                         << (json_object_get_int(json_object_array_get_idx(pcrs, i)) % TPM2_PCRS);
}

/* Takes the present key of systemd-creds. Returns -EINVAL for a key type of a later systemd,
 * because another choice could give a slot that does not open in an initramfs. */
static int keep_with_key(json_object *slot, SlotOptions *options, char **reterr_detail)
{
    const char *name = creds_blob_key_name(slot);

    if (options->with_key)
        return 0;
    if (strcmp(name, CREDS_KEY_UNKNOWN) == 0)
        return detail_set(reterr_detail, -EINVAL,
                          "this slot is sealed by a type of key that this version does not know: "
                          "choose one with --with-key=");
    options->with_key = name;
    return 0;
}

int method_reseal_slot(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    SlotRequest q = {.type = ""};
    Manager *m = userdata;
    json_object *slot;
    const char *bad;
    int r;

    if (json_get_string(p, "id", &q.replaces) <= 0)
        return varlink_call_invalid_parameter(call, "id");
    if (read_options(p, &q.options, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    r = vault_error(manager_vault(m));
    if (r < 0)
        return reply_slot_failure(call, m, r, vault_detail(manager_vault(m)));
    if (!manager_store(m))
        return reply_slot_failure(call, m, -ENOMEDIUM, "there is no store yet");
    slot = store_find_slot(manager_store(m), q.replaces);
    if (!slot)
        return reply_slot_failure(
            call, m, -ENOENT,
            asprintf(&detail, "no slot has the id \"%s\"", q.replaces) < 0 ? NULL : detail);
    (void)json_get_string(slot, "type", &q.type);
    if (!q.options.comment)
        (void)json_get_string(slot, "comment", &q.options.comment);
    if ((bad = find_foreign(&q)))
        return varlink_call_invalid_parameter(call, bad);
    if (strcmp(q.type, "systemd-creds") == 0)
        r = keep_with_key(slot, &q.options, &detail);
    if (r < 0)
        return reply_slot_failure(call, m, r, detail);
    if (strcmp(q.type, "tpm2") == 0) {
        keep_pcrs(slot, &q.options);
        /* Without a new counter the slot would not open the store. */
        q.options.rollback_counter |= store_counter_lost(manager_store(m));
    }
    return seal_slot(call, m, &q);
}

int method_remove_slot(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Manager *m = userdata;
    bool force = false;
    const char *id;
    int r;

    if (json_get_string(p, "id", &id) <= 0)
        return varlink_call_invalid_parameter(call, "id");
    if (json_get_bool(p, "force", &force) < 0)
        return varlink_call_invalid_parameter(call, "force");
    r = vault_require_open(manager_vault(m), &detail);
    if (r == 0)
        r = vault_remove_slot(manager_vault(m), id, force, &detail);
    if (r < 0)
        return reply_slot_failure(call, m, r, detail);
    log_slot(call, id, NULL, "removed");
    return varlink_call_reply(call, NULL);
}

static int reply_counter(const HeldCall *h, int error, const char *detail)
{
    if (error < 0)
        return methods_reply_error(h->call,
                                   error == -ENOENT ? NAMES_MANAGER_INTERFACE ".NoSuchSlot"
                                                    : NAMES_MANAGER_INTERFACE ".SlotFailed",
                                   detail ? detail : strerror(-error), NULL);
    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_SLOT_CHANGED},
                   "Rollback counter 0x%x of another store removed from the TPM by uid %u",
                   h->counter, (unsigned)varlink_call_peer(h->call)->uid);
    return varlink_call_reply(h->call, NULL);
}

static void on_counter_removed(int error, _unused_ const Secret *slot, const char *detail,
                               void *userdata)
{
    HeldCall *h = userdata;

    varlink_held_call_end(h->call, reply_counter(h, error, detail));
    free(h);
}

int method_remove_counter(VarlinkCall *call, json_object *p, void *userdata)
{
    uint64_t index;
    HeldCall *h;

    if (json_get_uint(p, "index", UINT32_MAX, &index) <= 0)
        return varlink_call_invalid_parameter(call, "index");
    h = hold(call, userdata);
    if (!h)
        return -ENOMEM;
    h->counter = (uint32_t)index;
    vault_remove_counter(manager_vault(userdata), h->counter, on_counter_removed, h);
    return 0;
}

static int reply_wrong_key(VarlinkCall *call, const char *message)
{
    return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".WrongRecoveryKey", message, NULL);
}

static int reply_mistyped(VarlinkCall *call, int error, unsigned group)
{
    char message[64] = "it is not a recovery key";

    if (error == -ENOMEM)
        return error;
    if (error == -EBADMSG)
        (void)snprintf(message, sizeof(message), "group %u of the recovery key is mistyped", group);
    return reply_wrong_key(call, message);
}

int methods_read_recovery_key(VarlinkCall *call, json_object *p, Secret **ret)
{
    unsigned group = 0;
    const char *text;
    int r;

    if (json_get_string(p, "recoveryKey", &text) <= 0)
        return varlink_call_invalid_parameter(call, "recoveryKey");
    r = recovery_key_parse(text, strlen(text), ret, &group);
    return r < 0 ? reply_mistyped(call, r, group) : 0;
}

int method_unlock(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(freep) char *detail = NULL;
    Manager *m = userdata;
    int r = methods_read_recovery_key(call, p, &key);

    if (!key)
        return r;
    r = vault_unlock(manager_vault(m), key, &detail);
    if (r == -ENOENT || r == -EKEYREJECTED)
        return reply_wrong_key(call, detail);
    if (r < 0)
        return reply_slot_failure(call, m, r, detail);
    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_STORE_OPENED},
                   "Store opened with a recovery key by uid %u, until the service stops",
                   (unsigned)varlink_call_peer(call)->uid);
    return reply_slot(call, m, store_opened_by(manager_store(m)), NULL, NULL);
}
