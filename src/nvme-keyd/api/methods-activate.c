/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/follow.h"
#include "nvme-keyd/manager/rotation.h"

/* Activate and Revert of a host: a call that is held until its targets have been asked. */

typedef struct Activation {
    VarlinkCall *call;
    Manager *manager;
    bool follow; /* go on asking until they accept */
} Activation;

static int add_answers(json_object *o, const AttemptResult *r)
{
    json_object *results = NULL;
    int error = methods_results_to_json(r->results, r->n_results, &results);

    return error < 0 ? error : json_add_take(o, "results", results);
}

/* Replies with the key, which is active, or pending and following its targets. detail: why it is
 * not active, or NULL. */
static int reply_with_key(const Activation *a, const AttemptResult *r, const char *detail)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object(), *key = NULL;
    const Key *k = key_table_find(manager_keys(a->manager), r->id);

    if (!k)
        return methods_reply_failure(a->call, -ENOENT, "the key was removed meanwhile", NULL);
    if (!o || add_answers(o, r) < 0 ||
        methods_describe_key(a->manager, k, publisher_on_demand_sec(manager_publisher(a->manager)),
                             &key) < 0 ||
        json_add_take(o, "key", TAKE_PTR(key)) < 0 ||
        (detail && json_add_string(o, "detail", detail) < 0))
        return -ENOMEM;
    methods_log_unpublished(a->manager, k);
    return varlink_call_reply(a->call, TAKE_PTR(o));
}

static int reply_not_accepted(const Activation *a, const AttemptResult *r)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || json_add_string(o, "message", r->detail) < 0 || add_answers(o, r) < 0)
        return -ENOMEM;
    return varlink_call_error(a->call, NAMES_MANAGER_INTERFACE ".NotAccepted", TAKE_PTR(o));
}

static int answer(const Activation *a, const AttemptResult *r)
{
    Key *k = key_table_find(manager_keys(a->manager), r->id);
    int error;

    /* Another call, or the service itself, may have switched to the key meanwhile. */
    if (!r->detail || (k && k->state == KEY_ACTIVE))
        return reply_with_key(a, r, NULL);
    if (!a->follow || !k || k->state != KEY_PENDING)
        return reply_not_accepted(a, r);
    error = manager_set_following(a->manager, k, true);
    return error < 0 ? methods_reply_failure(a->call, -EIO, strerror(-error), NULL)
                     : reply_with_key(a, r, r->detail);
}

static void on_attempt(const AttemptResult *r, void *userdata)
{
    Activation *a = userdata;

    if (a->call)
        varlink_held_call_end(a->call, answer(a, r));
    free(a);
}

int methods_try(VarlinkCall *call, Manager *m, const char *id, const ProbeTarget *target,
                bool follow)
{
    Activation *a = malloc(sizeof(*a));
    _cleanup_(freep) char *detail = NULL;
    int r;

    if (!a)
        return -ENOMEM;
    *a = (Activation){.manager = m, .follow = follow};
    r = follow_try(manager_follow(m), id, target, on_attempt, a, &detail);
    if (r < 0) {
        free(a);
        return methods_reply_failure(call, r, detail, NULL);
    }
    /* The attempt never ends before the event loop runs again, and goes on without a caller. */
    a->call = varlink_call_hold(call);
    return a->call ? 0 : -ENOMEM;
}
