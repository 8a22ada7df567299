/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "credstore/limits.h"
#include "nvme-keyd/api/methods-private.h"

/* StageBackup and Restore: a backup comes in parts, and then replaces the store. */

static const struct {
    int error;
    const char *name;
} restore_errors[] = {
    {-ENOENT, NAMES_MANAGER_INTERFACE ".WrongRecoveryKey"},
    {-EKEYREJECTED, NAMES_MANAGER_INTERFACE ".WrongRecoveryKey"},
    {-EBADMSG, NAMES_MANAGER_INTERFACE ".InvalidBackup"},
    {-EPROTONOSUPPORT, NAMES_MANAGER_INTERFACE ".InvalidBackup"},
    {-EFBIG, NAMES_MANAGER_INTERFACE ".InvalidBackup"},
    {-ESPIPE, NAMES_MANAGER_INTERFACE ".InvalidBackup"},
    {-EXDEV, NAMES_MANAGER_INTERFACE ".InvalidBackup"},
    {-EEXIST, NAMES_MANAGER_INTERFACE ".WouldLoseKeys"},
};

static int reply_failure(VarlinkCall *call, int error, const char *detail)
{
    const char *name = NAMES_MANAGER_INTERFACE ".StoreUnavailable";

    if (error == -ENOMEM)
        return error;
    for (size_t i = 0; i < ARRAY_SIZE(restore_errors); i++)
        if (restore_errors[i].error == error)
            name = restore_errors[i].name;
    return methods_reply_error(call, name, detail ? detail : strerror(-error), NULL);
}

int method_stage_backup(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    const char *content;
    uint64_t offset;
    int r;

    if (json_get_uint(p, "offset", STORE_FILE_MAX, &offset) <= 0)
        return varlink_call_invalid_parameter(call, "offset");
    if (json_get_string(p, "content", &content) <= 0)
        return varlink_call_invalid_parameter(call, "content");
    r = vault_stage(manager_vault(userdata), offset, content, strlen(content), &detail);
    return r < 0 ? reply_failure(call, r, detail) : varlink_call_reply(call, NULL);
}

static int reply_restored(VarlinkCall *call, const VaultRestored *restored)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_STORE_RESTORED},
                   "The store was restored from a backup with %zu keys by uid %u%s%s",
                   restored->records, (unsigned)varlink_call_peer(call)->uid,
                   restored->kept ? "; the store before is " : "",
                   restored->kept ? restored->kept : "");
    if (!o || json_add_uint(o, "keys", restored->records) < 0 ||
        (restored->kept && json_add_string(o, "kept", restored->kept) < 0))
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

int method_restore(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(secret_freep) Secret *key = NULL;
    _cleanup_(vault_restored_done) VaultRestored restored = {.kept = NULL};
    _cleanup_(freep) char *detail = NULL;
    bool force = false;
    int r;

    if (json_get_bool(p, "force", &force) < 0)
        return varlink_call_invalid_parameter(call, "force");
    r = methods_read_recovery_key(call, p, &key);
    if (!key)
        return r;
    r = vault_restore(manager_vault(userdata), key, force, &restored, &detail);
    return r < 0 ? reply_failure(call, r, detail) : reply_restored(call, &restored);
}
