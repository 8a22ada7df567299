/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/log.h"
#include "basic/names.h"
#include "nvme-keyd/api/methods-private.h"
#include "nvme-keyd/manager/probe-round.h"

/* Probe: a call that is held until all targets have answered. */

typedef struct Probing {
    VarlinkCall *call;
    ProbeRound *round;
    char id[KEY_ID_SIZE];
    char *hostnqn; /* of the key, which may be gone at the end */
    char *subsysnqn;
} Probing;

static void probing_free(Probing *p)
{
    probe_round_free(p->round);
    free(p->hostnqn);
    free(p->subsysnqn);
    free(p);
}

static int result_to_json(const ProbeResult *result, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();

    if (!o || (result->controller[0] && json_add_string(o, "controller", result->controller) < 0) ||
        json_add_string(o, "address", result->address) < 0 ||
        json_add_string(o, "answer", probe_answer_to_string(result->answer)) < 0 ||
        json_add_string(o, "detail", result->detail) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 0;
}

int methods_results_to_json(const ProbeResult *results, size_t n, json_object **ret)
{
    _cleanup_(json_putp) json_object *array = json_object_new_array();
    json_object *result;

    if (!array)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (result_to_json(&results[i], &result) < 0 || json_append_take(array, result) < 0)
            return -ENOMEM;
    *ret = TAKE_PTR(array);
    return 0;
}

static int reply_results(VarlinkCall *call, const ProbeResult *results, size_t n)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *array = NULL;

    if (!o || methods_results_to_json(results, n, &array) < 0 ||
        json_add_take(o, "results", array) < 0)
        return -ENOMEM;
    return varlink_call_reply(call, TAKE_PTR(o));
}

/* One line for all targets, with the first of those that did not accept. */
static void log_round(const Probing *p, const ProbeResult *results, size_t n)
{
    const LogFields fields = {.message_id = MESSAGE_PROBED,
                              .hostnqn = p->hostnqn,
                              .subsysnqn = p->subsysnqn,
                              .key_id = p->id};
    const ProbeResult *first = NULL;
    size_t n_accepted = 0;

    for (size_t i = 0; i < n; i++)
        if (results[i].answer == PROBE_ACCEPTED)
            n_accepted++;
        else if (!first)
            first = &results[i];
    if (first)
        (void)log_full(LOG_NOTICE, 0, &fields,
                       "Key %s is accepted by %zu of %zu targets; %s: %s (%s)", p->id, n_accepted,
                       n, first->address, probe_answer_to_string(first->answer), first->detail);
    else
        (void)log_full(LOG_INFO, 0, &fields, "Key %s is accepted by %zu of %zu targets", p->id,
                       n_accepted, n);
}

static void on_done(const ProbeResult *results, size_t n, void *userdata)
{
    Probing *p = userdata;
    int r;

    log_round(p, results, n);
    r = reply_results(p->call, results, n);
    varlink_held_call_end(p->call, r);
    probing_free(p);
}

int methods_read_target(json_object *p, ProbeTarget *ret, const char **reterr_member)
{
    static const struct {
        const char *what, *member;
    } members[] = {{"address", "address"},
                   {"port", "port"},
                   {"source", "hostAddress"},
                   {"interface", "hostInterface"}};
    const char *texts[ARRAY_SIZE(members)] = {NULL}, *what = NULL;
    uint64_t port = PROBE_PORT_DEFAULT;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        bool is_port = strcmp(members[i].what, "port") == 0;
        int r = is_port ? json_get_uint(p, "port", UINT16_MAX, &port)
                        : json_get_string(p, members[i].member, &texts[i]);

        *reterr_member = members[i].member;
        /* The others are the way to an address. */
        if (r < 0 || (r > 0 && i > 0 && !texts[0]))
            return -EINVAL;
    }
    if (!texts[0])
        return 0;
    if (probe_target_set(texts[0], port, texts[2], texts[3], ret, &what) == 0)
        return 1;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (strcmp(members[i].what, what) == 0)
            *reterr_member = members[i].member;
    return -EINVAL;
}

static Probing *probing_new(const Key *k)
{
    Probing *p = calloc(1, sizeof(*p));

    if (!p || (k && k->hostnqn &&
               (!(p->hostnqn = strdup(k->hostnqn)) || !(p->subsysnqn = strdup(k->subsysnqn))))) {
        if (p)
            probing_free(p);
        return NULL;
    }
    if (k)
        strcpy(p->id, k->id);
    return p;
}

static int start(VarlinkCall *call, Manager *m, const char *id, const ProbeTarget *target)
{
    Probing *p = probing_new(key_table_find(manager_keys(m), id));
    _cleanup_(freep) char *detail = NULL;
    int r;

    if (!p)
        return -ENOMEM;
    r = probe_round_start(m, id, target, on_done, p, &p->round, &detail);
    if (r == 0) {
        /* The round never ends before the event loop runs again. */
        p->call = varlink_call_hold(call);
        if (p->call)
            return 0;
        r = -ENOMEM;
    }
    probing_free(p);
    return r == -EHOSTUNREACH || r == -ENODEV
               ? methods_reply_error(call, NAMES_MANAGER_INTERFACE ".NoTarget", detail, NULL)
               : methods_reply_failure(call, r, detail, NULL);
}

int method_probe(VarlinkCall *call, json_object *p, void *userdata)
{
    const char *id, *bad;
    ProbeTarget target;
    int r;

    if (methods_read_id(p, &id) < 0)
        return varlink_call_invalid_parameter(call, "id");
    r = methods_read_target(p, &target, &bad);
    if (r < 0)
        return varlink_call_invalid_parameter(call, bad);
    return start(call, userdata, id, r > 0 ? &target : NULL);
}
