/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"

/* StoreImage and Backup: send a sealed text as the peer reads it, each piece in a reply of its
 * own. */

typedef struct Export {
    StoreExport *export;
    ExportResult result;
    bool backup;
    uid_t uid;
} Export;

static void destroy_export(void *state)
{
    Export *e = state;

    store_export_free(e->export);
    free(e);
}

static int notify_piece(VarlinkCall *call, const char *text, size_t size)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (json_add_take(o, "content", json_object_new_string_len(text, (int)size)) < 0)
        return -ENOMEM;
    return varlink_call_notify(call, TAKE_PTR(o));
}

static bool are_strings(json_object *array)
{
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *s = json_object_array_get_idx(array, i);

        if (!json_object_is_type(s, json_type_string) ||
            strlen(json_object_get_string(s)) != (size_t)json_object_get_string_len(s))
            return false;
    }
    return true;
}

static int reply_failure(VarlinkCall *call, int error, const char *detail)
{
    if (error == -ENOMEDIUM)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".StoreAbsent", detail, NULL);
    if (error == -ENOKEY)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".NoRecoveryKey", detail, NULL);
    return detail ? methods_reply_failure(call, error == -E2BIG ? -EINVAL : error, detail, NULL)
                  : error;
}

static int end_export(VarlinkCall *call, const Export *e)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "keys", e->result.keys) < 0 ||
        json_add_uint(o, "broken", e->result.broken) < 0)
        return -ENOMEM;
    if (e->backup)
        (void)log_full(LOG_NOTICE, 0, &(LogFields){.message_id = MESSAGE_STORE_BACKED_UP},
                       "The store was backed up, sealed, with %zu keys, for uid %u", e->result.keys,
                       (unsigned)e->uid);
    else
        log_info("%zu keys of the store were exported for uid %u", e->result.keys,
                 (unsigned)e->uid);
    return varlink_call_reply(call, TAKE_PTR(o));
}

static int export_piece(VarlinkCall *call, void *state)
{
    Export *e = state;
    const char *text;
    size_t size;

    return store_export_next(e->export, &text, &size) ? notify_piece(call, text, size)
                                                      : end_export(call, e);
}

/* Returns NULL without memory. */
static Export *export_new(VarlinkCall *call)
{
    Export *e = calloc(1, sizeof(*e));

    if (e)
        e->uid = varlink_call_peer(call)->uid;
    return e;
}

int method_store_image(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    json_object *subsysnqns = NULL;
    Export *e;
    int r;

    if (json_get_array(p, "subsystemNQNs", &subsysnqns) < 0 ||
        (subsysnqns && !are_strings(subsysnqns)))
        return varlink_call_invalid_parameter(call, "subsystemNQNs");
    e = export_new(call);
    if (!e)
        return -ENOMEM;
    r = manager_export(userdata, subsysnqns, &e->export, &e->result, &detail);
    if (r < 0) {
        destroy_export(e);
        return reply_failure(call, r, detail);
    }
    return varlink_call_stream(call, export_piece, e, destroy_export);
}

int method_backup(VarlinkCall *call, _unused_ json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    Export *e = export_new(call);
    int r;

    if (!e)
        return -ENOMEM;
    e->backup = true;
    r = vault_backup(manager_vault(userdata), &e->export, &e->result.broken, &detail);
    if (r < 0) {
        destroy_export(e);
        return reply_failure(call, r, detail);
    }
    e->result.keys = store_export_count(e->export);
    return varlink_call_stream(call, export_piece, e, destroy_export);
}
