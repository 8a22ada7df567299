/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/names.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/time-text.h"

/* activate, retire, revoke and remove end or change the life of a key, now or at a time. */

/* Whether the clock is right matters for a date, but not for a span, so the service gets a span as
 * one. */
int cli_add_time(const Options *o, json_object *p)
{
    uint64_t now = now_realtime(), at = 0, span = 0;
    const char *in = o->in ? o->in : o->at && *o->at == '+' ? o->at + 1 : NULL;

    if (!o->at && !o->in)
        return EXIT_OK;
    if (o->at && o->in)
        return cli_fail(EXIT_USAGE, "--at= and --in= exclude each other");
    if (o->at && time_parse(o->at, now, &at) < 0)
        return cli_fail(EXIT_USAGE,
                        "--at= needs a time, such as \"2026-12-01 10:00\", \"tomorrow 10:00\", +2h "
                        "or never");
    if (o->at && at < now)
        return cli_fail(EXIT_USAGE, "--at= is in the past");
    if (in && (config_parse_span(in, &span) < 0 || __builtin_add_overflow(now, span, &at) ||
               at > INT64_MAX))
        return cli_fail(EXIT_USAGE, "--in= needs a time span, such as 2h or 1d 12h");
    /* Now needs no plan. The service knows never as 0. */
    if (at > now &&
        (in ? json_add_uint(p, "in", span) : json_add_uint(p, "at", at == TIME_NEVER ? 0 : at)) < 0)
        return cli_out_of_memory();
    return EXIT_OK;
}

static json_object *make_parameters(const Options *o)
{
    json_object *p = json_object_new_object();

    if (p && json_add_string(p, "id", o->arguments[0]) == 0 &&
        (!o->force || json_add_bool(p, "force", true) == 0))
        return p;
    json_object_put(p);
    return NULL;
}

static bool is_planned(json_object *p)
{
    uint64_t usec;

    return (json_get_uint(p, "at", INT64_MAX, &usec) > 0 && usec > 0) ||
           json_get_uint(p, "in", INT64_MAX, &usec) > 0;
}

static void print_removed(const Options *o, json_object *reply)
{
    json_object *key;

    if (o->legend && json_get_object(reply, "key", &key) > 0)
        printf("Removed the %s key %s of host %s and subsystem %s.\n",
               json_string_or(key, "state", "-"), json_string_or(key, "id", "-"),
               json_string_or(key, "hostNQN", "(unknown)"),
               json_string_or(key, "subsystemNQN", "(unknown)"));
}

/* Asks whether to do what the service has just refused. */
static bool confirm(void)
{
    char answer[8];

    (void)fputs("Do it nevertheless? [y/N] ", stderr);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int call_with_force(const Options *o, const char *method, json_object **ret)
{
    Options forced = *o;
    json_object *p;

    forced.force = true;
    p = make_parameters(&forced);
    return p ? cli_call(o, method, p, ret) : cli_out_of_memory();
}

/* Like cli_call(), but a person may override the refusal of a key that a controller needs. */
static int call_or_ask(const Options *o, const char *method, json_object *p, json_object **ret)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    int r;

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || is_planned(p))
        return cli_call(o, method, p, ret);
    r = cli_connect(o, &client);
    if (r != EXIT_OK) {
        json_object_put(p);
        return r;
    }
    r = cli_call_client(o, client, method, p, &reply, &error);
    if (r == EXIT_OK && error) {
        r = cli_fail_with_error("", error, reply);
        if (strcmp(error, NAMES_MANAGER_INTERFACE ".KeyNeeded") == 0 && confirm())
            return call_with_force(o, method, ret);
    } else if (r == EXIT_OK) {
        *ret = TAKE_PTR(reply);
    }
    return r;
}

/* Carries the change out, after the hosts of the target have left the key if wait is true. */
static int change(const Options *o, const char *method, bool wait)
{
    _cleanup_(json_putp) json_object *p = make_parameters(o), *reply = NULL;
    int r;

    if (!p)
        return cli_out_of_memory();
    r = cli_add_time(o, p);
    if (r == EXIT_OK && o->force && is_planned(p))
        return cli_fail(EXIT_USAGE, "--force cannot be planned: at its time the change waits until "
                                    "no controller needs the key");
    if (r == EXIT_OK && o->when_unused && is_planned(p))
        return cli_fail(EXIT_USAGE, "--when-unused and a time exclude each other");
    if (r == EXIT_OK && wait)
        r = cli_wait_unused(o, o->arguments[0]);
    if (r == EXIT_OK)
        r = call_or_ask(o, method, TAKE_PTR(p), &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    else if (r == EXIT_OK && strcmp(method, "Remove") == 0 && !o->at && !o->in)
        print_removed(o, reply);
    return r;
}

int verb_activate(const Options *o)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    int r;

    if ((o->at || o->in) && (o->wait || o->no_block || o->address))
        return cli_fail(EXIT_USAGE, "a planned switch asks all targets, and waits for them");
    if (o->at || o->in)
        return change(o, "Activate", false);
    r = cli_switch(o, "Activate", o->arguments[0], &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}

int verb_retire(const Options *o)
{
    _cleanup_(json_putp) json_object *p = make_parameters(o), *reply = NULL;
    bool plans = o->at || o->in;
    /* Before anything is changed. */
    int r = o->when_unused && !plans ? cli_check_hosts(o) : EXIT_OK;

    if (r != EXIT_OK || (r = change(o, "Retire", false)) != EXIT_OK || plans)
        return r;
    if (!o->when_unused) {
        cli_report_users(o, o->arguments[0]);
        return r;
    }
    /* The last host that leaves it ends the overlap. */
    r = cli_wait_unused(o, o->arguments[0]);
    if (r != EXIT_OK)
        return r;
    return p ? cli_call(o, "Remove", TAKE_PTR(p), &reply) : cli_out_of_memory();
}

int verb_revoke(const Options *o)
{
    return change(o, "Revoke", false);
}

int verb_remove(const Options *o)
{
    return change(o, "Remove", o->when_unused);
}
