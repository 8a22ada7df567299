/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/adopt.h"

/* Adopt: keys of the ring become keys of the store. No secret crosses the socket. */

/* More of them are counted only. */
#define LOGGED_MAX 32

static int read_call(json_object *p, AdoptRequest *q, const char **reterr_member)
{
    uint64_t serial = 0;
    const char *role;
    int r;

    *q = (AdoptRequest){.serial = 0};
    *reterr_member = "serial";
    r = json_get_uint(p, "serial", INT32_MAX, &serial);
    if (r < 0 || (r > 0 && serial == 0))
        return -EINVAL;
    q->serial = (int32_t)serial;
    *reterr_member = "identity";
    if (json_get_string(p, "identity", &q->identity) < 0 || (q->identity && q->serial))
        return -EINVAL;
    *reterr_member = "id";
    if (json_get_string(p, "id", &q->id) < 0 || (q->id && (q->serial || q->identity)))
        return -EINVAL;
    *reterr_member = "hostNQN";
    if (json_get_string(p, "hostNQN", &q->hostnqn) < 0)
        return -EINVAL;
    *reterr_member = "subsystemNQN";
    if (json_get_string(p, "subsystemNQN", &q->subsysnqn) < 0 || !q->hostnqn != !q->subsysnqn ||
        (q->hostnqn && (q->serial || q->identity || q->id)))
        return -EINVAL;
    *reterr_member = "role";
    r = json_get_string(p, "role", &role);
    if (r < 0 || (r > 0 && key_role_from_string(role, &q->role) < 0))
        return -EINVAL;
    q->has_role = r > 0;
    *reterr_member = "force";
    if (json_get_bool(p, "force", &q->force) < 0)
        return -EINVAL;
    *reterr_member = "dryRun";
    return json_get_bool(p, "dryRun", &q->dry_run) < 0 ? -EINVAL : 0;
}

static int item_to_json(const AdoptItem *i, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_uint(o, "serial", (uint64_t)i->serial) < 0 ||
        json_add_string(o, "identity", i->identity) < 0 ||
        json_add_string(o, "verdict", adopt_verdict_to_string(i->verdict)) < 0 ||
        (i->type && json_add_string(o, "keyType", i->type) < 0) ||
        (i->has_role && json_add_string(o, "role", key_role_to_string(i->role)) < 0) ||
        (i->id[0] && json_add_string(o, "id", i->id) < 0) ||
        (i->detail && json_add_string(o, "detail", i->detail) < 0))
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 0;
}

static int reply_report(VarlinkCall *call, Manager *m, const AdoptReport *report)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *keys = json_object_new_array();
    int r = json_add_take(o, "keys", keys);

    for (size_t i = 0; i < report->n && r == 0; i++) {
        json_object *key = NULL;

        r = item_to_json(&report->items[i], &key);
        if (r == 0)
            r = json_append_take(keys, key);
    }
    if (r < 0 || json_add_uint(o, "unpublished", report->unpublished) < 0 ||
        methods_add_made(o, m) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

static void log_report(VarlinkCall *call, const Manager *m, const AdoptReport *report)
{
    size_t n = report->counts[ADOPT_ADOPTED] + report->counts[ADOPT_REPLACED], logged = 0;

    for (size_t i = 0; i < report->n && n <= LOGGED_MAX; i++) {
        const Key *k = report->items[i].id[0] && (report->items[i].verdict == ADOPT_ADOPTED ||
                                                  report->items[i].verdict == ADOPT_REPLACED)
                           ? key_table_find(manager_keys(m), report->items[i].id)
                           : NULL;
        LogFields fields;

        if (!k)
            continue;
        logged++;
        fields = methods_fields_of(MESSAGE_KEY_ADDED, k);
        methods_log_change(call, &fields, "adopted from the keyring");
    }
    if (n > logged)
        log_info("%zu keys adopted from the keyring by uid %u", n,
                 (unsigned)varlink_call_peer(call)->uid);
}

bool gate_adopt(_unused_ const VarlinkCall *call, json_object *p, void *userdata)
{
    const char *bad;
    AdoptRequest q;

    return read_call(p, &q, &bad) < 0 || manager_await_adopt(userdata, &q);
}

int method_adopt(VarlinkCall *call, json_object *p, void *userdata)
{
    _cleanup_(adopt_report_done) AdoptReport report = {.n = 0};
    _cleanup_(freep) char *detail = NULL;
    const char *bad;
    AdoptRequest q;
    int r;

    if (read_call(p, &q, &bad) < 0)
        return varlink_call_invalid_parameter(call, bad);
    r = manager_adopt(userdata, &q, &report, &detail);
    if (r == -ENOKEY)
        return methods_reply_error(call, NAMES_MANAGER_INTERFACE ".KeyringAbsent",
                                   detail ? detail : PUBLISHER_NO_RING, NULL);
    if (r < 0)
        return methods_reply_failure(call, r, detail, NULL);
    if (!q.dry_run)
        log_report(call, userdata, &report);
    return reply_report(call, userdata, &report);
}
