/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/json.h"
#include "basic/limits.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"
#include "varlink/json-wire.h"

/* schedule: the age at which a key is rotated, and the rotation of all that have it. */

int verb_schedule_set(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    int r;

    if (!o->rotate_after)
        return cli_fail(EXIT_USAGE, "--rotate-after= is missing");
    if (!p || json_add_string(p, "id", o->arguments[0]) < 0 ||
        json_add_uint(p, "rotateAfterSec", o->rotate_after_usec / USEC_PER_SEC) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "Schedule", TAKE_PTR(p), &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}

/* The journal keeps what it gets, and people other than root read it. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char *end = NULL;
    struct stat st;

    if (!stream || fstat(STDOUT_FILENO, &st) < 0)
        return false;
    return strtoull(stream, &end, 10) == st.st_dev && *end == ':' &&
           strtoull(end + 1, NULL, 10) == st.st_ino;
}

static bool is_due(json_object *key)
{
    bool due = false;

    return json_get_bool(key, "rotationDue", &due) > 0 && due;
}

/* The hosts of a target need the new PSK, which is shown when it is made. */
static bool can_follow(const Options *o, json_object *key)
{
    return o->print_key || o->dry_run || strcmp(json_string_or(key, "role", ""), "both") == 0;
}

static json_object *make_call(const Options *o, const char *id)
{
    json_object *p = json_object_new_object();

    if (p && json_add_string(p, "id", id) == 0 && json_add_bool(p, "scheduled", true) == 0 &&
        json_add_bool(p, "dryRun", o->dry_run) == 0 &&
        json_add_bool(p, "returnPSK", o->print_key) == 0)
        return p;
    json_object_put(p);
    return NULL;
}

/* One line for a new key: its id, or, as an import takes it, its PSK. */
static int print_rotated(const Options *o, json_object *reply)
{
    json_object *key = NULL;
    int r;

    (void)json_get_object(reply, "key", &key);
    if (o->print_key && !o->dry_run) {
        printf("%s %s ", json_string_or(key, "hostNQN", "-"),
               json_string_or(key, "subsystemNQN", "-"));
        /* Not by printf(), which has a buffer of its own. */
        (void)puts(json_string_or(reply, "psk", "-"));
    } else
        printf("%s\n", json_string_or(key, "id", "-"));
    r = output_flush();
    if (r < 0 && o->print_key)
        return cli_fail(EXIT_OTHER,
                        "key %s is pending, but its PSK is lost, because standard output %s: run "
                        "nvme-keyctl remove %s",
                        json_string_or(key, "id", "-"), output_error_text(r),
                        json_string_or(key, "id", "-"));
    return EXIT_OK;
}

/* With JSON the reply is appended to rotated. */
static int rotate(const Options *o, VarlinkClient *client, json_object *key, json_object *rotated)
{
    _cleanup_(varlink_json_erase_putp) json_object *reply = NULL;
    json_object *p = make_call(o, json_string_or(key, "id", ""));
    _cleanup_(freep) char *error = NULL, *where = NULL;
    int r;

    if (!p || asprintf(&where, "key %s for %s: ", json_string_or(key, "id", "-"),
                       json_string_or(key, "subsystemNQN", "-")) < 0) {
        json_object_put(p);
        return cli_out_of_memory();
    }
    r = cli_call_client(o, client, "Rotate", p, &reply, &error);
    if (r != EXIT_OK)
        return r;
    if (error)
        return cli_fail_with_error(where, error, reply);
    if (o->json == JSON_OFF)
        return print_rotated(o, reply);
    if (json_object_array_add(rotated, reply) < 0)
        return cli_out_of_memory();
    (void)TAKE_PTR(reply);
    return EXIT_OK;
}

/* Rotates what is due, until one key fails. */
static int rotate_all(const Options *o, VarlinkClient *client, json_object *keys,
                      json_object *rotated)
{
    size_t n = json_object_array_length(keys), left = 0, silent = 0;
    int r = EXIT_OK;

    for (size_t i = 0; i < n; i++) {
        json_object *key = json_object_array_get_idx(keys, i);

        if (!is_due(key))
            continue;
        if (!can_follow(o, key))
            silent++;
        else if (r == EXIT_OK)
            r = rotate(o, client, key, rotated);
        else
            left++;
    }
    if (silent > 0)
        (void)cli_fail(EXIT_OK,
                       "%zu keys of a target are due, and left alone: their hosts need the new "
                       "PSKs, which --print-key prints",
                       silent);
    /* What has failed once, such as a full disk, would fail again. */
    if (left > 0)
        (void)cli_fail(EXIT_OK, "%zu more keys are due, and were left for the next run", left);
    return r;
}

int verb_schedule_run(const Options *o)
{
    _cleanup_(varlink_json_erase_putp) json_object *result = json_object_new_object();
    _cleanup_(json_putp) json_object *keys = json_object_new_array();
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    json_object *rotated = json_object_new_array();
    int r;

    if (json_add_take(result, "rotated", rotated) < 0 || !keys)
        return cli_out_of_memory();
    if (o->print_key && is_journal())
        return cli_fail(EXIT_USAGE, "--print-key would write PSKs into the journal: give standard "
                                    "output to the program that takes them");
    if ((o->print_key && (r = output_check_secret("PSK")) != EXIT_OK) ||
        (r = cli_call_list(o, "List", "key", keys)) != EXIT_OK ||
        (r = cli_connect(o, &client)) != EXIT_OK)
        return r;
    r = rotate_all(o, client, keys, rotated);
    if (o->json != JSON_OFF && (r == EXIT_OK || json_object_array_length(rotated) > 0))
        cli_print_json(o, result);
    return r;
}
