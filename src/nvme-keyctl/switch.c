/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <time.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"

/* The switch of a host to another key, once its targets accept it. */

static json_object *make_parameters(const Options *o, const char *id)
{
    json_object *p = json_object_new_object();

    if (p && json_add_string(p, "id", id) == 0 &&
        (!o->wait || json_add_bool(p, "follow", true) == 0) &&
        (!o->force || json_add_bool(p, "force", true) == 0))
        return p;
    json_object_put(p);
    return NULL;
}

/* Names each target that is against the switch, and why. */
static void print_objections(json_object *reply)
{
    json_object *results;

    if (json_get_array(reply, "results", &results) <= 0)
        return;
    for (size_t i = 0; i < json_object_array_length(results); i++) {
        json_object *result = json_object_array_get_idx(results, i);
        const char *answer = json_string_or(result, "answer", "-"), *controller = NULL;

        (void)json_get_string(result, "controller", &controller);
        if (strcmp(answer, "accepted") != 0 && strcmp(answer, "own") != 0)
            (void)cli_fail(EXIT_OK, "%s%s%s: %s: %s", controller ? controller : "",
                           controller ? " at " : "", json_string_or(result, "address", "-"), answer,
                           json_string_or(result, "detail", "-"));
    }
}

static int fail_pending(const char *method, const char *id, const char *why, json_object *reply)
{
    print_objections(reply);
    if (strcmp(method, "Revert") == 0)
        return cli_fail(EXIT_NOT_ACCEPTED,
                        "the key before the rotation is not active again: %s; give --force if the "
                        "target is known to have it",
                        why);
    return cli_fail(EXIT_NOT_ACCEPTED,
                    "key %s is not active, and the key before it stays in use: %s; then run "
                    "nvme-keyctl activate %s, or add --wait to have nvme-keyd try again by itself",
                    id, why, id);
}

static void sleep_a_second(void)
{
    const struct timespec second = {.tv_sec = 1};

    (void)nanosleep(&second, NULL);
}

/* Waits until the service has switched. The service goes on after we have given up. */
static int wait_active(const Options *o, const char *id)
{
    uint64_t end = o->timeout_usec > 0 ? now_monotonic() + o->timeout_usec : UINT64_MAX;

    while (now_monotonic() < end) {
        _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
        const char *state = NULL;
        json_object *key;
        int r;

        if (json_add_string(p, "id", id) < 0)
            return cli_out_of_memory();
        r = cli_call(o, "Describe", TAKE_PTR(p), &reply);
        if (r != EXIT_OK)
            return r;
        if (json_get_object(reply, "key", &key) <= 0 || json_get_string(key, "state", &state) <= 0)
            return cli_fail(EXIT_OTHER, "the answer of nvme-keyd holds no key");
        if (strcmp(state, "active") == 0)
            return EXIT_OK;
        if (strcmp(state, "pending") != 0)
            return cli_fail(EXIT_CONFLICT, "key %s is %s now", id, state);
        sleep_a_second();
    }
    return cli_fail(EXIT_NOT_ACCEPTED,
                    "key %s is still pending: nvme-keyd goes on asking its targets", id);
}

/* Takes reply. */
static int finish_switch(const Options *o, const char *id, json_object *reply)
{
    const char *detail = NULL;

    if (json_get_string(reply, "detail", &detail) <= 0)
        return EXIT_OK;
    if (o->legend) {
        print_objections(reply);
        (void)cli_fail(EXIT_OK, "%s: nvme-keyd asks again until it can switch to key %s", detail,
                       id);
    }
    return o->no_block ? EXIT_OK : wait_active(o, id);
}

int cli_switch(const Options *o, const char *method, const char *id, json_object **ret)
{
    _cleanup_(json_putp) json_object *p = make_parameters(o, id), *reply = NULL;
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(freep) char *error = NULL;
    int r;

    if (!p)
        return cli_out_of_memory();
    if ((o->address && (r = cli_add_address(p, o->address)) != EXIT_OK) ||
        (r = cli_connect(o, &client)) != EXIT_OK ||
        (r = cli_call_client(o, client, method, TAKE_PTR(p), &reply, &error)) != EXIT_OK)
        return r;
    if (error && strcmp(error, NAMES_MANAGER_INTERFACE ".NotAccepted") == 0)
        return fail_pending(method, id, json_string_or(reply, "message", "no target accepts it"),
                            reply);
    if (error)
        return cli_fail_with_error("", error, reply);
    r = finish_switch(o, id, reply);
    if (r == EXIT_OK && ret)
        *ret = TAKE_PTR(reply);
    return r;
}
