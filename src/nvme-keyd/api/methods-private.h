/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/log.h"
#include "nvme-keyd/api/methods.h"
#include "nvme-keyd/manager/probe-round.h"
#include "nvme-keyd/vault/vault.h"

/* Shared by the files methods*.c. */

/* methods-list.c: a key as List and Describe show it, to be put by the caller. lifetimeSec means
 * that the key may be missing in the ring until it is requested; on_demand_sec as for
 * key_lifetime(). Returns -ENOMEM. */
int methods_describe_key(Manager *m, const Key *k, unsigned on_demand_sec, json_object **ret)
    _must_check_;
int method_list(VarlinkCall *call, json_object *p, void *userdata);
int method_describe(VarlinkCall *call, json_object *p, void *userdata);

/* methods-controllers.c */
int method_list_controllers(VarlinkCall *call, json_object *p, void *userdata);
int method_list_hosts(VarlinkCall *call, json_object *p, void *userdata);

/* methods-status.c; the gate closes until the store is open, but for VAULT_SLOW_USEC at most. */
bool gate_status(const VarlinkCall *call, json_object *p, void *userdata);
int method_status(VarlinkCall *call, json_object *p, void *userdata);

/* Import; the gate has the store made for an import that would go well. */
bool gate_import(const VarlinkCall *call, json_object *p, void *userdata);
int method_import(VarlinkCall *call, json_object *p, void *userdata);

/* Adopt; the gate has the store made if there is a key to be adopted. */
bool gate_adopt(const VarlinkCall *call, json_object *p, void *userdata);
int method_adopt(VarlinkCall *call, json_object *p, void *userdata);

/* methods-machine.c; the gate has a store made. */
bool gate_new_store(const VarlinkCall *call, json_object *p, void *userdata);
int method_machine(VarlinkCall *call, json_object *p, void *userdata);
int method_trust_issuer(VarlinkCall *call, json_object *p, void *userdata);
int method_distrust_issuer(VarlinkCall *call, json_object *p, void *userdata);
int method_list_issuers(VarlinkCall *call, json_object *p, void *userdata);

/* methods-envelope.c */
int method_take_envelope(VarlinkCall *call, json_object *p, void *userdata);
int method_list_pairs(VarlinkCall *call, json_object *p, void *userdata);

/* Monitor. */
int method_monitor(VarlinkCall *call, json_object *p, void *userdata);

/* Probe; replies when all targets have answered. */
int method_probe(VarlinkCall *call, json_object *p, void *userdata);
/* Reads {address, port, hostAddress, hostInterface}. Returns 1 with a target, 0 without one, or
 * -EINVAL with the member's name. */
int methods_read_target(json_object *p, ProbeTarget *ret, const char **reterr_member) _must_check_;
/* Returns -ENOMEM. */
int methods_results_to_json(const ProbeResult *results, size_t n, json_object **ret) _must_check_;

/* methods-activate.c: holds the call until the targets of a key have been asked, and replies with
 * the key once it is active. follow: if it is not, sets it to follow its targets, and replies then
 * as well. */
int methods_try(VarlinkCall *call, Manager *m, const char *id, const ProbeTarget *target,
                bool follow) _must_check_;

/* Export, of one key in the clear. */
int method_export(VarlinkCall *call, json_object *p, void *userdata);

/* methods-image.c */
int method_store_image(VarlinkCall *call, json_object *p, void *userdata);
int method_backup(VarlinkCall *call, json_object *p, void *userdata);

/* methods-restore.c */
int method_stage_backup(VarlinkCall *call, json_object *p, void *userdata);
int method_restore(VarlinkCall *call, json_object *p, void *userdata);

/* methods-life.c */
int method_rotate(VarlinkCall *call, json_object *p, void *userdata);
int method_schedule(VarlinkCall *call, json_object *p, void *userdata);
int method_activate(VarlinkCall *call, json_object *p, void *userdata);
int method_revert(VarlinkCall *call, json_object *p, void *userdata);
int method_retire(VarlinkCall *call, json_object *p, void *userdata);
int method_revoke(VarlinkCall *call, json_object *p, void *userdata);
int method_remove(VarlinkCall *call, json_object *p, void *userdata);

/* Reads the member id, valid as long as p. Returns -EINVAL if it is missing or no string. */
int methods_read_id(json_object *p, const char **ret) _must_check_;

/* Reads {hash, role, derivation, identityVersions, comment, force, hostNQN, subsystemNQN}; each may
 * be absent. Returns 0, or -EINVAL with the member's name. */
int methods_read_request(json_object *p, KeyRequest *q, const char **reterr_member) _must_check_;

/* Replies with the error of a failed change; other: the key that is in the way, or NULL. */
int methods_reply_failure(VarlinkCall *call, int error, const char *detail, const Key *other)
    _must_check_;

/* Replies with an error of our interface; id: of the key in the way, or NULL. */
int methods_reply_error(VarlinkCall *call, const char *name, const char *message, const char *id)
    _must_check_;

/* The fields of a message about a key. */
LogFields methods_fields_of(const char *message_id, const Key *k);
/* Logs a change by a caller; what: the change, as a participle. The names in a broken record are
 * not known. */
void methods_log_change(VarlinkCall *call, const LogFields *key, const char *what);
/* Warns of a key that is stored, but missing in the ring: its change itself succeeded. */
void methods_log_unpublished(const Manager *m, const Key *k);

/* Reads the configured PSK. Returns 1, 0 if there is none, -EINVAL if it is no string, -ENOMEM, or
 * -EBADMSG with a line about its fault; the next one replies with such an error. */
int methods_read_psk(json_object *p, KeyRequest *q, Secret **ret, const char **reterr_detail)
    _must_check_;
int methods_reply_invalid_psk(VarlinkCall *call, int error, const char *detail) _must_check_;
/* Adds the configured PSK of a key to a reply, which is sensitive then. */
int methods_add_psk(json_object *o, const Key *k) _must_check_;

/* methods-slots.c */
int method_list_slots(VarlinkCall *call, json_object *p, void *userdata);
bool gate_add_slot(const VarlinkCall *call, json_object *p, void *userdata);
int method_add_slot(VarlinkCall *call, json_object *p, void *userdata);
int method_reseal_slot(VarlinkCall *call, json_object *p, void *userdata);
/* Adds storeMadeBy and warnings to the first reply after a store was made, else nothing. */
int methods_add_made(json_object *reply, Manager *m) _must_check_;

int method_remove_slot(VarlinkCall *call, json_object *p, void *userdata);
int method_remove_counter(VarlinkCall *call, json_object *p, void *userdata);
int method_unlock(VarlinkCall *call, json_object *p, void *userdata);
/* Reads the member recoveryKey. Without a key in *ret it has replied, and the caller returns its
 * result. */
int methods_read_recovery_key(VarlinkCall *call, json_object *p, Secret **ret) _must_check_;
