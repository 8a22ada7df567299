/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"

/* ExportStore: the files of a copy of the store, each in a reply of its own, as the peer reads
 * them.
 */

typedef struct Export {
    ManagerCopy *copy;
    CopyResult result;
    uid_t uid;
} Export;

static void destroy_export(void *state)
{
    Export *e = state;

    manager_copy_free(e->copy);
    free(e);
}

static int notify_file(const char *path, const char *text, size_t size, void *userdata)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_string(o, "path", path) < 0 ||
        json_add_take(o, "content", json_object_new_string_len(text, (int)size)) < 0)
        return -ENOMEM;
    return varlink_call_notify(userdata, TAKE_PTR(o));
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
    /* Without a line it is not the copy that failed, but the connection. */
    return detail ? methods_reply_failure(call, error == -E2BIG ? -EINVAL : error, detail, NULL)
                  : error;
}

static int end_export(VarlinkCall *call, const Export *e)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "keys", e->result.keys) < 0 ||
        json_add_uint(o, "broken", e->result.broken) < 0)
        return -ENOMEM;
    log_info("A copy of the store with %zu keys was given to uid %u", e->result.keys,
             (unsigned)e->uid);
    return varlink_call_reply(call, TAKE_PTR(o));
}

/* Files for one step: most of them are records of a kilobyte. */
#define EXPORT_STEP 8

static int export_some(VarlinkCall *call, void *state)
{
    _cleanup_(freep) char *detail = NULL;
    Export *e = state;
    int r = 1;

    for (int i = 0; i < EXPORT_STEP && r > 0; i++)
        r = manager_copy_next(e->copy, notify_file, call, &detail);
    if (r < 0)
        return reply_failure(call, r, detail);
    return r > 0 ? 0 : end_export(call, e);
}

int method_export_store(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    json_object *subsysnqns = NULL;
    Export *e;
    int r;

    if (json_get_array(p, "subsystemNQNs", &subsysnqns) < 0 ||
        (subsysnqns && !are_strings(subsysnqns)))
        return varlink_call_invalid_parameter(call, "subsystemNQNs");
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->uid = varlink_call_peer(call)->uid;
    r = manager_copy_new(userdata, subsysnqns, &e->copy, &e->result, &detail);
    if (r < 0) {
        destroy_export(e);
        return reply_failure(call, r, detail);
    }
    return varlink_call_stream(call, export_some, e, destroy_export);
}
