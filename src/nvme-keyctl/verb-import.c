/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/import-read.h"
#include "varlink/json-wire.h"

/* import: reads files to their end, then sends their keys in one call. */

/* Prefixes an error with "FILE:LINE: ". */
static int fail_at_place(const ImportRead *r, const char *error, json_object *parameters)
{
    _cleanup_(freep) char *where = NULL;
    json_object *conflicts;
    uint64_t index;

    if (json_get_array(parameters, "conflicts", &conflicts) > 0)
        return import_fail_conflicts(r, parameters);
    if (json_get_uint(parameters, "index", r->n - 1, &index) <= 0)
        return cli_fail_with_error("", error, parameters);
    where = import_format_place(r, index);
    return where ? cli_fail_with_error(where, error, parameters) : cli_out_of_memory();
}

static int add_force_for(const Options *o, json_object *p)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(p, "forceFor", array);

    for (size_t i = 0; i < o->n_force_for && r == 0; i++)
        r = json_append_take(array, json_object_new_string(o->force_for[i]));
    return r;
}

static int make_call(ImportRead *r, json_object **ret)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = json_object_new_object();
    const Options *o = r->o;
    int e;

    if (!p || json_object_object_add(p, "keys", r->keys) < 0)
        return cli_out_of_memory();
    (void)TAKE_PTR(r->keys);
    if (json_add_bool(p, "dryRun", o->dry_run) < 0 || json_add_bool(p, "force", o->force) < 0 ||
        (o->n_force_for > 0 && add_force_for(o, p) < 0) ||
        (o->role && json_add_string(p, "role", o->role) < 0) ||
        (o->derivation && json_add_string(p, "derivation", o->derivation) < 0))
        return cli_out_of_memory();
    e = cli_add_versions(p, o->versions);
    if (e == EXIT_OK)
        *ret = TAKE_PTR(p);
    return e;
}

static int send_keys(ImportRead *r, json_object **ret)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    json_object *p = NULL;
    int e;

    if ((e = cli_connect(r->o, &client)) != EXIT_OK || (e = make_call(r, &p)) != EXIT_OK ||
        (e = cli_call_client(r->o, client, "Import", p, &reply, &error)) != EXIT_OK)
        return e;
    if (error)
        return fail_at_place(r, error, reply);
    *ret = TAKE_PTR(reply);
    return EXIT_OK;
}

/* Adds the member "action" to each key of the listing. */
static int add_actions(const ImportRead *r, json_object *reply)
{
    const char *action = r->o->dry_run ? "import" : "imported";
    json_object *unchanged = NULL;
    int e = 0;

    for (size_t i = 0; i < r->n && e == 0; i++)
        e = json_add_string(json_object_array_get_idx(r->listing, i), "action", action);
    (void)json_get_array(reply, "unchangedKeys", &unchanged);
    for (size_t i = 0; unchanged && e == 0 && i < json_object_array_length(unchanged); i++) {
        json_object *number = json_object_array_get_idx(unchanged, i);
        int64_t index = json_object_get_int64(number);

        if (index >= 0 && (uint64_t)index < r->n)
            e = json_add_string(json_object_array_get_idx(r->listing, (size_t)index), "action",
                                "unchanged");
    }
    json_object_object_del(reply, "unchangedKeys");
    return e;
}

static int print_json(ImportRead *r, json_object *reply)
{
    if (json_add_uint(reply, "skipped", r->skipped) < 0 ||
        json_add_take(reply, "keys", TAKE_PTR(r->listing)) < 0 ||
        (!r->o->dry_run && import_add_left(r, reply) < 0))
        return cli_out_of_memory();
    cli_print_json(r->o, reply);
    return EXIT_OK;
}

/* One line for each key that was found: what a dry run is for. */
static void print_listing(const ImportRead *r)
{
    for (size_t i = 0; i < r->n; i++) {
        json_object *key = json_object_array_get_idx(r->listing, i);
        const char *identity = json_string_or(key, "identity", NULL);

        printf("%s:%zu: %s: ", r->files[r->places[i].file].name, r->places[i].line,
               json_string_or(key, "action", ""));
        if (identity)
            printf("TLS PSK of %s\n", identity);
        else
            printf("PSK of host %s and subsystem %s, hash %s\n", json_string_or(key, "hostNQN", ""),
                   json_string_or(key, "subsystemNQN", ""), json_string_or(key, "hash", ""));
    }
}

static int print_result(ImportRead *r, json_object *reply)
{
    uint64_t added, unchanged, unpublished;
    const Options *o = r->o;

    if (json_get_uint(reply, "added", INT64_MAX, &added) <= 0 ||
        json_get_uint(reply, "unchanged", INT64_MAX, &unchanged) <= 0 ||
        json_get_uint(reply, "unpublished", INT64_MAX, &unpublished) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without a result");
    if (add_actions(r, reply) < 0)
        return cli_out_of_memory();
    if (o->json != JSON_OFF)
        return print_json(r, reply);
    if (o->dry_run)
        print_listing(r);
    if (o->legend)
        printf("%llu %s, %llu unchanged, %zu skipped\n", (unsigned long long)added,
               o->dry_run ? "to import" : "imported", (unsigned long long)unchanged, r->skipped);
    if (o->legend && !o->dry_run)
        import_print_left(r);
    if (o->n_force_for > 0 && added > 0 && !json_object_object_get_ex(reply, "forced", NULL))
        (void)cli_fail(EXIT_OK, "warning: no conflict needed --force-for=");
    cli_print_unpublished(unpublished);
    return EXIT_OK;
}

static int import_from_keyring(const Options *o)
{
    if (o->arguments[0] || o->subsysnqn || o->hostnqn || o->versions || o->derivation ||
        o->n_force_for > 0)
        return cli_fail(EXIT_USAGE, "--from-keyring takes keys as they are, and of options only "
                                    "--role=, --force and --dry-run");
    return cli_adopt(o, true);
}

int verb_import(const Options *o)
{
    _cleanup_(import_read_done) ImportRead read = {.o = o};
    _cleanup_(json_putp) json_object *reply = NULL;
    int r;

    if (o->from_keyring)
        return import_from_keyring(o);
    r = import_read(o, &read);
    if (r == EXIT_OK)
        r = send_keys(&read, &reply);
    if (r == EXIT_OK)
        r = print_result(&read, reply);
    if (r == EXIT_OK) {
        cli_print_new_store(reply);
        cli_print_warnings(reply);
    }
    return r;
}
