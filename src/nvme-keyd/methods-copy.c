/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/methods-private.h"

/* ExportStore: the files of a copy of the store, each in a reply of its own. */

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

int method_export_store(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    _cleanup_(freep) char *detail = NULL;
    json_object *subsysnqns = NULL;
    CopyResult result;
    int r;

    if (!o)
        return -ENOMEM;
    if (json_get_array(p, "subsystemNQNs", &subsysnqns) < 0 ||
        (subsysnqns && !are_strings(subsysnqns)))
        return varlink_call_invalid_parameter(call, "subsystemNQNs");
    r = manager_copy(userdata, subsysnqns, notify_file, call, &result, &detail);
    if (r < 0)
        return reply_failure(call, r, detail);
    log_info("A copy of the store with %zu keys was given to uid %u", result.keys,
             (unsigned)varlink_call_peer(call)->uid);
    if (json_add_uint(o, "keys", result.keys) < 0 || json_add_uint(o, "broken", result.broken) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}
