/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/import.h"
#include "varlink/message.h"

/* Import: all keys in one call. It waits at its gate as bytes of a message, which is parsed each
 * time that the gate is asked. */

static void request_done(const ImportRequest *q)
{
    free(q->keys);
    free(q->force_for);
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

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_force_for(json_object *p, ImportRequest *q)
{
    json_object *array;
    int r = json_get_array(p, "forceFor", &array);
    size_t n = r > 0 ? json_object_array_length(array) : 0;

    if (r < 0)
        return -EINVAL;
    q->force_for = calloc(n + 1, sizeof(*q->force_for));
    if (!q->force_for)
        return -ENOMEM;
    for (; q->n_force_for < n; q->n_force_for++) {
        json_object *name = json_object_array_get_idx(array, q->n_force_for);

        if (!json_object_is_type(name, json_type_string))
            return -EINVAL;
        q->force_for[q->n_force_for] = json_object_get_string(name);
    }
    qsort(q->force_for, n, sizeof(*q->force_for), compare_names);
    return 0;
}

static int read_call(json_object *p, ImportRequest *q, const char **reterr_member)
{
    json_object *keys;
    int r;

    q->common.role = KEY_ROLE_HOST;
    if (methods_read_request(p, &q->common, reterr_member) < 0)
        return -EINVAL;
    *reterr_member = "dryRun";
    if (json_get_bool(p, "dryRun", &q->common.dry_run) < 0)
        return -EINVAL;
    *reterr_member = "forceFor";
    r = read_force_for(p, q);
    if (r < 0)
        return r;
    *reterr_member = "keys";
    return json_get_array(p, "keys", &keys) <= 0 ? -EINVAL : read_keys(keys, q);
}

/* The part of a message that conflicts may fill. */
#define CONFLICTS_SIZE_MAX (VARLINK_MESSAGE_MAX / 4 * 3)
/* Size of a conflict besides its texts, at most. */
#define CONFLICT_SIZE_MAX 160

static int add_conflict(json_object *array, const Conflict *c, size_t *size)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    size_t other = import_index(c->other);
    _cleanup_(freep) char *text = NULL;

    (void)key_conflict_detail(c, &text);
    if (!text || !o || json_add_string(o, "reason", key_conflict_reason_to_string(c->reason)) < 0 ||
        json_add_uint(o, "index", import_index(c->key)) < 0 ||
        (other != SIZE_MAX ? json_add_uint(o, "other", other)
                           : json_add_string(o, "id", c->other->id)) < 0 ||
        (c->loser && json_add_string(o, "forceFor", c->loser->subsysnqn) < 0) ||
        json_add_string(o, "message", text) < 0)
        return -ENOMEM;
    *size += CONFLICT_SIZE_MAX + strlen(text) + (c->loser ? strlen(c->loser->subsysnqn) : 0);
    return json_append_take(array, TAKE_PTR(o));
}

static int add_conflicts(json_object *o, const Conflicts *c)
{
    _cleanup_(json_putp) json_object *array = NULL;
    size_t size = 0, n = 0;
    int r = 0;

    if (c->n == 0)
        return 0;
    array = json_object_new_array();
    if (!array)
        return -ENOMEM;
    while (n < c->n && size < CONFLICTS_SIZE_MAX && r == 0)
        r = add_conflict(array, &c->items[n++], &size);
    if (r == 0 && (c->more || n < c->n))
        r = json_add_bool(o, "more", true);
    return r == 0 ? json_add_take(o, "conflicts", TAKE_PTR(array)) : r;
}

/* Errors that are those of some keys, and tell which. */
static int reply_fault(VarlinkCall *call, const char *name, const ImportFault *fault,
                       const char *detail)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    const Conflicts *c = &fault->conflicts;
    const Key *other = c->n > 0 ? c->items[0].other : NULL;

    if (!o || json_add_string(o, "message", detail ? detail : "") < 0 ||
        json_add_uint(o, "index", fault->index) < 0 ||
        (other && !other->source && json_add_uint(o, "other", import_index(other)) < 0) ||
        (other && other->source && json_add_string(o, "id", other->id) < 0) ||
        add_conflicts(o, c) < 0)
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

/* Adds the indexes of the keys that were left unchanged. */
static int add_unchanged(json_object *o, const ImportResult *result, size_t n)
{
    json_object *list = json_object_new_array();
    int r = json_add_take(o, "unchangedKeys", list);

    for (size_t i = 0; i < n && r == 0; i++)
        if (result->is_unchanged[i])
            r = json_append_take(list, json_object_new_int64((int64_t)i));
    return r;
}

static int reply_result(VarlinkCall *call, Manager *m, const ImportResult *result, size_t n)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "added", result->added) < 0 ||
        json_add_uint(o, "unchanged", result->unchanged) < 0 ||
        json_add_uint(o, "unpublished", result->unpublished) < 0 ||
        (result->forced > 0 && json_add_uint(o, "forced", result->forced) < 0) ||
        (result->unchanged > 0 && add_unchanged(o, result, n) < 0) || methods_add_made(o, m) < 0)
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
    _cleanup_(import_result_done) ImportResult result = {.is_unchanged = NULL};
    _cleanup_(import_fault_done) ImportFault fault = {.n = 0};
    const char *bad;
    int r = read_call(p, &q, &bad);

    if (r < 0)
        return r == -EINVAL ? varlink_call_invalid_parameter(call, bad) : r;
    r = manager_import(userdata, &q, &result, &fault, &detail);
    if (r < 0)
        return reply_import_failure(call, r, &fault, detail);
    if (!q.common.dry_run)
        log_import(call, &result);
    return reply_result(call, userdata, &result, q.n);
}
