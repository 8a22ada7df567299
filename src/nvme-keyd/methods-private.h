/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/methods.h"

/* What methods.c, methods-import.c and methods-slots.c share. */

/* Import. */
int method_import(VarlinkCall *call, json_object *p, void *userdata);

/* ExportStore. */
int method_export_store(VarlinkCall *call, json_object *p, void *userdata);

/* Reads {hash, role, derivation, identityVersions, comment, force, hostNQN, subsystemNQN}; each may
 * be absent. Returns 0, or -EINVAL with the member's name. */
int methods_read_request(json_object *p, KeyRequest *q, const char **reterr_member) _must_check_;

/* Answers a failed change; other: the key that is in the way, or NULL. */
int methods_reply_failure(VarlinkCall *call, int error, const char *detail, const Key *other)
    _must_check_;

/* Answers with an error of ours; id: of the key in the way, or NULL. */
int methods_reply_error(VarlinkCall *call, const char *name, const char *message, const char *id)
    _must_check_;

/* methods-slots.c */
int method_list_slots(VarlinkCall *call, json_object *p, void *userdata);
int method_add_slot(VarlinkCall *call, json_object *p, void *userdata);
int method_reseal_slot(VarlinkCall *call, json_object *p, void *userdata);
int method_remove_slot(VarlinkCall *call, json_object *p, void *userdata);
int method_unlock(VarlinkCall *call, json_object *p, void *userdata);
