/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/import.h"

/* Import: all keys in one call. It waits at its gate as bytes of a message, which is parsed each
 * time that the gate is asked. */

static void request_done(const ImportRequest *q)
{
    free(q->keys);
}

/* Reads one ImportedKey. */
static int read_key(json_object *o, ImportKey *k)
{
    return json_object_is_type(o, json_type_object) &&
                   json_get_string(o, "identity", &k->identity) >= 0 &&
                   json_get_string(o, "hostNQN", &k->hostnqn) >= 0 &&
                   json_get_string(o, "subsystemNQN", &k->subsysnqn) >= 0 &&
                   json_get_string(o, "psk", &k->psk) > 0 &&
                   !k->identity == (k->hostnqn && k->subsysnqn)
               ? 0
               : -EINVAL;
}

static int read_keys(json_object *array, ImportRequest *q)
{
    size_t n = json_object_array_length(array);

    q->keys = calloc(n + 1, sizeof(*q->keys));
    if (!q->keys)
        return -ENOMEM;
    for (; q->n < n; q->n++)
        if (read_key(json_object_array_get_idx(array, q->n), &q->keys[q->n]) < 0)
            return -EINVAL;
    return 0;
}

static int read_call(json_object *p, ImportRequest *q, const char **reterr_member)
{
    json_object *keys;

    q->common.role = KEY_ROLE_HOST;
    if (methods_read_request(p, &q->common, reterr_member) < 0)
        return -EINVAL;
    *reterr_member = "dryRun";
    if (json_get_bool(p, "dryRun", &q->common.dry_run) < 0)
        return -EINVAL;
    *reterr_member = "keys";
    return json_get_array(p, "keys", &keys) <= 0 ? -EINVAL : read_keys(keys, q);
}

/* Errors that are one key's, and tell which. */
static int reply_fault(VarlinkCall *call, const char *name, const ImportFault *fault,
                       const char *detail)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_string(o, "message", detail ? detail : "") < 0 ||
        json_add_uint(o, "index", fault->index) < 0 ||
        (fault->other != SIZE_MAX && json_add_uint(o, "other", fault->other) < 0) ||
        (fault->key && json_add_string(o, "id", fault->key->id) < 0))
        return -ENOMEM;
    return varlink_call_error(call, name, TAKE_PTR(o));
}

static int reply_import_failure(VarlinkCall *call, int error, const ImportFault *fault,
                                const char *detail)
{
    switch (error) {
    case -EINVAL:
    case -E2BIG:
        return reply_fault(call, NAMES_MANAGER_INTERFACE ".InvalidKey", fault, detail);
    case -EEXIST:
        return reply_fault(call, NAMES_MANAGER_INTERFACE ".KeyExists", fault, detail);
    case -ENOTUNIQ:
        return reply_fault(call, NAMES_MANAGER_INTERFACE ".KeyShadowed", fault, detail);
    default:
        return methods_reply_failure(call, error, detail, NULL);
    }
}

static int reply_result(VarlinkCall *call, Manager *m, const ImportResult *result)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "added", result->added) < 0 ||
        json_add_uint(o, "unchanged", result->unchanged) < 0 ||
        json_add_uint(o, "unpublished", result->unpublished) < 0 || methods_add_made(o, m) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

static void log_import(VarlinkCall *call, const ImportResult *result)
{
    log_info("%zu keys imported by uid %u, %zu were there", result->added,
             (unsigned)varlink_call_peer(call)->uid, result->unchanged);
    if (result->unpublished > 0)
        log_warning("%zu of them are kept, but not in the keyring (see nvme-keyctl status)",
                    result->unpublished);
}

bool gate_import(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(request_done) ImportRequest q = {.n = 0};
    const char *bad;

    return read_call(p, &q, &bad) < 0 || manager_await_import(userdata, &q);
}

int method_import(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(request_done) ImportRequest q = {.n = 0};
    _cleanup_(freep) char *detail = NULL;
    ImportResult result;
    ImportFault fault;
    const char *bad;
    int r = read_call(p, &q, &bad);

    if (r < 0)
        return r == -EINVAL ? varlink_call_invalid_parameter(call, bad) : r;
    r = manager_import(userdata, &q, &result, &fault, &detail);
    if (r < 0)
        return reply_import_failure(call, r, &fault, detail);
    if (!q.common.dry_run)
        log_import(call, &result);
    return reply_result(call, userdata, &result);
}
