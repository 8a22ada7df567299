/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/import.h"

/*
 * Import: the keys of its calls are staged in the connection's state, until one comes that does not
 * say that others follow. Any failure drops them; offset keeps a call that was sent before its
 * client knew from being taken for the beginning of another import.
 */

/* What one call asks for. */
typedef struct ImportCall {
    KeyRequest request; /* what goes for each of its keys */
    json_object *keys;
    uint64_t offset;
    bool continues, dry_run;
} ImportCall;

static int read_call(json_object *p, ImportCall *c, const char **reterr_member)
{
    if (methods_read_request(p, &c->request, reterr_member) < 0)
        return -EINVAL;
    *reterr_member = "keys";
    if (json_get_array(p, "keys", &c->keys) <= 0)
        return -EINVAL;
    *reterr_member = "offset";
    if (json_get_uint(p, "offset", IMPORT_KEYS_MAX, &c->offset) < 0)
        return -EINVAL;
    *reterr_member = "continues";
    if (json_get_bool(p, "continues", &c->continues) < 0)
        return -EINVAL;
    *reterr_member = "dryRun";
    return json_get_bool(p, "dryRun", &c->dry_run) < 0 ? -EINVAL : 0;
}

static void destroy_import(void *state)
{
    import_free(state);
}

/* The import that this call goes on with, or a new one. */
static int find_import(VarlinkCall *call, uint64_t offset, Import **ret)
{
    Import *i = varlink_call_state(call);
    int r;

    if (offset > 0) {
        if (!i || import_size(i) != offset)
            return -EINVAL;
        *ret = i;
        return 0;
    }
    r = import_new(&i);
    if (r < 0)
        return r;
    varlink_call_set_state(call, i, destroy_import);
    *ret = i;
    return 0;
}

/* Stages one member of keys. Returns -EBADMSG for one that is no ImportedKey, else as
 * import_stage(). */
static int stage_key(Import *i, const KeyRequest *common, json_object *key, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *psk = NULL;
    const char *text, *identity = NULL;
    KeyRequest q = *common;
    int r;

    if (!json_object_is_type(key, json_type_object) ||
        json_get_string(key, "identity", &identity) < 0 ||
        json_get_string(key, "hostNQN", &q.hostnqn) < 0 ||
        json_get_string(key, "subsystemNQN", &q.subsysnqn) < 0 ||
        json_get_string(key, "psk", &text) <= 0 || !identity == (!q.hostnqn || !q.subsysnqn))
        return -EBADMSG;
    r = psk_interchange_parse(text, strlen(text), &q.hash, &psk);
    if (r > 0) {
        *reterr_detail = strdup(psk_error_text(r));
        return *reterr_detail ? -EINVAL : -ENOMEM;
    }
    q.configured = psk;
    return r < 0 ? r : import_stage(i, &q, identity, reterr_detail);
}

static int stage_keys(Import *i, const ImportCall *c, ImportFault *reterr_fault,
                      char **reterr_detail)
{
    for (size_t j = 0; j < json_object_array_length(c->keys); j++) {
        int r = stage_key(i, &c->request, json_object_array_get_idx(c->keys, j), reterr_detail);

        if (r < 0) {
            *reterr_fault = (ImportFault){c->offset + j, SIZE_MAX, NULL};
            return r;
        }
    }
    return 0;
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
    case -EBADMSG:
        return varlink_call_invalid_parameter(call, "keys");
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

/* The last call of an import. */
static int finish_import(VarlinkCall *call, Manager *m, Import *i, const ImportCall *c)
{
    _cleanup_(freep) char *detail = NULL;
    ImportResult result;
    ImportFault fault;
    int r = manager_import(m, i, c->dry_run, &result, &fault, &detail);

    varlink_call_set_state(call, NULL, NULL);
    if (r < 0)
        return reply_import_failure(call, r, &fault, detail);
    if (!c->dry_run)
        log_import(call, &result);
    return reply_result(call, m, &result);
}

bool gate_import(const VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(import_freep) Import *own = NULL;
    _cleanup_(freep) char *detail = NULL;
    ImportCall c = {.request = {.role = KEY_ROLE_HOST}};
    Import *i = varlink_call_state(call);
    ImportFault fault;
    const char *bad;
    bool open;

    if (read_call(p, &c, &bad) < 0 || c.continues)
        return true;
    if (!vault_await(manager_vault(userdata)))
        return false;
    if (manager_store(userdata) || c.dry_run)
        return true;
    if (c.offset == 0)
        i = import_new(&own) == 0 ? own : NULL;
    if (!i || import_size(i) != c.offset)
        return true;
    open = stage_keys(i, &c, &fault, &detail) < 0 || manager_await_import(userdata, i);
    import_truncate(i, c.offset);
    return open;
}

int method_import(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(freep) char *detail = NULL;
    ImportCall c = {.request = {.role = KEY_ROLE_HOST}};
    ImportFault fault;
    Import *i = NULL;
    const char *bad;
    int r;

    r = read_call(p, &c, &bad);
    if (r == 0) {
        bad = "offset";
        r = find_import(call, c.offset, &i);
    }
    if (r == -EINVAL) {
        varlink_call_set_state(call, NULL, NULL);
        return varlink_call_invalid_parameter(call, bad);
    }
    if (r < 0)
        return r;
    r = stage_keys(i, &c, &fault, &detail);
    if (r < 0) {
        varlink_call_set_state(call, NULL, NULL);
        return reply_import_failure(call, r, &fault, detail);
    }
    if (c.continues)
        return reply_result(call, userdata, &(ImportResult){0});
    return finish_import(call, userdata, i, &c);
}
