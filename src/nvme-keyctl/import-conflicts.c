/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/import-read.h"

/* The conflicts of an import: keys of a file that cannot stand beside each other, or beside those
 * of the store. */

/* Past so many options, --force is what a person would give. */
#define HINTS_MAX 20

/* Adds the place of the key that has its index in a member, and *ret points to it. Returns 1, 0
 * without one, or an error. */
static int add_place(const ImportRead *r, json_object *conflict, const char *member,
                     const char *line, const char *file, uint64_t *ret)
{
    int error = json_get_uint(conflict, member, r->n - 1, ret);
    const ImportPlace *p;

    if (error <= 0)
        return error;
    p = &r->places[*ret];
    return json_add_uint(conflict, line, p->line) < 0 ||
                   json_add_string(conflict, file, r->files[p->file].name) < 0
               ? -1
               : 1;
}

/* "see line N: ", or "see FILE:N: " for another file. */
static char *format_other(const ImportRead *r, uint64_t index, uint64_t other)
{
    const ImportPlace *p = &r->places[index], *q = &r->places[other];
    char *see;
    int n = p->file == q->file ? asprintf(&see, "see line %zu: ", q->line)
                               : asprintf(&see, "see %s:%zu: ", r->files[q->file].name, q->line);

    return n < 0 ? NULL : see;
}

/* A conflict that is the only one ends with its remedy. */
static int print_conflict(const ImportRead *r, json_object *conflict, bool only)
{
    _cleanup_(freep) char *place = NULL, *see = NULL;
    const char *force_for = NULL;
    uint64_t index, other;
    int has_other;

    if (add_place(r, conflict, "index", "line", "file", &index) <= 0 ||
        (has_other = add_place(r, conflict, "other", "otherLine", "otherFile", &other)) < 0)
        return cli_fail(EXIT_OTHER, "the answer of nvme-keyd makes no sense");
    if (r->o->json != JSON_OFF)
        return EXIT_OK;
    place = import_format_place(r, index);
    see = has_other ? format_other(r, index, other) : strdup("");
    if (!place || !see)
        return cli_out_of_memory();
    if (only)
        (void)json_get_string(conflict, "forceFor", &force_for);
    (void)cli_fail(
        EXIT_OK, "%s%s%s%s%s", place, see, json_string_or(conflict, "message", "conflict"),
        force_for ? "; to accept it, give --force-for=" : "", force_for ? force_for : "");
    return EXIT_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns the number of different names, which are sorted then. */
static size_t unique(const char **names, size_t n)
{
    size_t kept = 0;

    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    return kept;
}

/* Prints the options that accept what can be accepted, as they can be pasted. */
static int print_hint(json_object *conflicts)
{
    size_t n = json_object_array_length(conflicts), n_names = 0;
    _cleanup_(freep) const char **names = calloc(n + 1, sizeof(*names));

    if (!names)
        return cli_out_of_memory();
    for (size_t i = 0; i < n; i++)
        n_names += json_get_string(json_object_array_get_idx(conflicts, i), "forceFor",
                                   &names[n_names]) > 0;
    n_names = unique(names, n_names);
    if (n_names == 0)
        return EXIT_OK;
    (void)cli_fail(EXIT_OK, "to accept what can be accepted, and connect to these subsystems with "
                            "--tls-key, give");
    if (n_names > HINTS_MAX)
        (void)fprintf(stderr, "  --force\n");
    for (size_t i = 0; i < n_names && n_names <= HINTS_MAX; i++)
        (void)fprintf(stderr, "  --force-for=%s\n", names[i]);
    return EXIT_OK;
}

int import_fail_conflicts(const ImportRead *r, json_object *parameters)
{
    const Options *o = r->o;
    json_object *conflicts = NULL;
    bool more = false;
    int e = EXIT_OK;
    size_t count;

    (void)json_get_array(parameters, "conflicts", &conflicts);
    (void)json_get_bool(parameters, "more", &more);
    count = json_object_array_length(conflicts);
    for (size_t i = 0; i < count && e == EXIT_OK; i++)
        e = print_conflict(r, json_object_array_get_idx(conflicts, i), count == 1);
    if (e == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, parameters);
    if (e == EXIT_OK && o->json == JSON_OFF && count == 1)
        return EXIT_CONFLICT;
    if (e == EXIT_OK && o->json == JSON_OFF)
        e = print_hint(conflicts);
    return e == EXIT_OK ? cli_fail(EXIT_CONFLICT, "%zu%s conflicts: nothing was imported", count,
                                   more ? " and more" : "")
                        : e;
}
