/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/cli.h"
#include "psk/keyfile.h"
#include "varlink/json-wire.h"
#include "varlink/message.h"

/* import: reads a key file to its end, then sends its keys in one call. */

/* The longest line of a key file has some 620 characters; comments may be longer. */
#define BUFFER_SIZE 16384
/* Enough to recognise a wrong file. */
#define ERRORS_MAX 20

/* A file that is read line by line. */
typedef struct Source {
    const char *name;
    int fd;
    Secret *buffer;
    size_t start, end;
    size_t line; /* of the last one that was read, from 1 */
    bool at_end;
} Source;

typedef struct ImportRun {
    const Options *o;
    Source source;
    json_object *keys;
    size_t *lines; /* of all keys */
    size_t n, n_max;
    size_t size; /* of all these lines */
    size_t skipped, errors;
} ImportRun;

static void run_done(const ImportRun *r)
{
    if (r->source.fd > STDERR_FILENO)
        close(r->source.fd);
    secret_free(r->source.buffer);
    varlink_json_erase_put(r->keys);
    free(r->lines);
}

static int fill(Source *s)
{
    uint8_t *data = s->buffer->data;
    ssize_t n;

    memmove(data, data + s->start, s->end - s->start);
    s->end -= s->start;
    s->start = 0;
    if (s->end == s->buffer->size)
        return -EMSGSIZE;
    do
        n = read(s->fd, data + s->end, s->buffer->size - s->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    s->at_end = n == 0;
    s->end += (size_t)n;
    return 0;
}

/* Returns 1 and a line without its newline, valid until the next call; 0 at the end; -EMSGSIZE for
 * a line that is too long, or the error of read(2). */
static int next_line(Source *s, const char **ret, size_t *ret_length)
{
    for (;;) {
        const uint8_t *text = s->buffer->data + s->start;
        size_t have = s->end - s->start;
        const uint8_t *newline = memchr(text, '\n', have);
        int r;

        if (newline || (s->at_end && have > 0)) {
            *ret = (const char *)text;
            *ret_length = newline ? (size_t)(newline - text) : have;
            s->start += *ret_length + (newline ? 1 : 0);
            s->line++;
            return 1;
        }
        if (s->at_end)
            return 0;
        r = fill(s);
        if (r < 0)
            return r;
    }
}

static int open_source(const Options *o, Source *s)
{
    const char *file = o->arguments[0];

    s->buffer = secret_new(BUFFER_SIZE);
    if (!s->buffer) {
        (void)cli_out_of_memory();
        return EXIT_OTHER;
    }
    s->name = "standard input";
    s->fd = STDIN_FILENO;
    if (file && strcmp(file, "-") != 0) {
        s->name = file;
        s->fd = cli_open_key_file(file);
        if (s->fd < 0)
            return cli_fail(EXIT_INVALID, "cannot open %s: %s", file, strerror(errno));
    } else if (isatty(STDIN_FILENO)) {
        return cli_fail(EXIT_USAGE, "import reads a file, not a terminal, which would show it");
    }
    return EXIT_OK;
}

static int add_key(ImportRun *run, const KeyfileLine *l)
{
    _cleanup_(varlink_json_erase_putp) json_object *key = json_object_new_object();
    _cleanup_(secret_freep) Secret *text = NULL;
    int r;

    if (!key || psk_interchange_format(l->hash, l->psk, &text) != 0)
        return -ENOMEM;
    if (*l->identity)
        r = json_add_string(key, "identity", l->identity);
    else
        r = json_add_string(key, "hostNQN", l->hostnqn) |
            json_add_string(key, "subsystemNQN", l->subsysnqn);
    if (r < 0 || json_add_string(key, "psk", (const char *)text->data) < 0)
        return -ENOMEM;
    if (!run->keys)
        run->keys = json_object_new_array();
    return run->keys ? json_append_take(run->keys, TAKE_PTR(key)) : -ENOMEM;
}

static int note_line(ImportRun *run)
{
    if (run->n == run->n_max) {
        size_t n_max = 2 * run->n_max + 64;
        size_t *lines = reallocarray(run->lines, n_max, sizeof(*lines));

        if (!lines)
            return -ENOMEM;
        run->lines = lines;
        run->n_max = n_max;
    }
    run->lines[run->n++] = run->source.line;
    return 0;
}

/* Prefixes an error with "FILE:LINE: ". */
static int fail_at_line(const ImportRun *run, const char *error, json_object *parameters)
{
    _cleanup_(freep) char *where = NULL;
    json_object *conflicts;
    uint64_t index;

    if (json_get_array(parameters, "conflicts", &conflicts) > 0)
        return cli_fail_conflicts(run->o, run->source.name, run->lines, run->n, parameters);
    if (json_get_uint(parameters, "index", run->n - 1, &index) <= 0)
        return cli_fail_with_error("", error, parameters);
    return asprintf(&where, "%s:%zu: ", run->source.name, run->lines[index]) < 0
               ? cli_out_of_memory()
               : cli_fail_with_error(where, error, parameters);
}

static int add_force_for(const Options *o, json_object *p)
{
    json_object *array = json_object_new_array();
    int r = json_add_take(p, "forceFor", array);

    for (size_t i = 0; i < o->n_force_for && r == 0; i++)
        r = json_append_take(array, json_object_new_string(o->force_for[i]));
    return r;
}

static int make_call(ImportRun *run, json_object **ret)
{
    _cleanup_(varlink_json_erase_putp) json_object *p = json_object_new_object();
    const Options *o = run->o;
    int r;

    if (!p || json_add_take(p, "keys", TAKE_PTR(run->keys)) < 0 ||
        json_add_bool(p, "dryRun", o->dry_run) < 0 || json_add_bool(p, "force", o->force) < 0 ||
        (o->n_force_for > 0 && add_force_for(o, p) < 0) ||
        (o->role && json_add_string(p, "role", o->role) < 0) ||
        (o->derivation && json_add_string(p, "derivation", o->derivation) < 0))
        return cli_out_of_memory();
    r = cli_add_versions(p, o->versions);
    if (r == EXIT_OK)
        *ret = TAKE_PTR(p);
    return r;
}

static int send_keys(ImportRun *run, json_object **ret)
{
    _cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *error = NULL;
    json_object *p = NULL;
    int r;

    if ((r = cli_connect(run->o, &client)) != EXIT_OK || (r = make_call(run, &p)) != EXIT_OK ||
        (r = cli_call_client(run->o, client, "Import", p, &reply, &error)) != EXIT_OK)
        return r;
    if (error)
        return fail_at_line(run, error, reply);
    *ret = TAKE_PTR(reply);
    return EXIT_OK;
}

static int take_line(ImportRun *run, const char *text, size_t length)
{
    _cleanup_(keyfile_line_done) KeyfileLine l = {.kind = KEYFILE_NOTHING};
    int r = keyfile_line_parse(text, length, &l);

    if (r != 0) {
        run->errors++;
        return cli_fail(r < 0 ? EXIT_OTHER : EXIT_OK, "%s:%zu: %s", run->source.name,
                        run->source.line, psk_error_text(r));
    }
    run->skipped += l.kind == KEYFILE_DHCHAP || l.kind == KEYFILE_GENERATED;
    /* After an error, further lines are only checked. */
    if (!l.psk || run->errors > 0)
        return EXIT_OK;
    run->size += length;
    if (run->size > VARLINK_MESSAGE_MAX)
        return cli_fail_too_long();
    return note_line(run) < 0 || add_key(run, &l) < 0 ? cli_out_of_memory() : EXIT_OK;
}

static int read_lines(ImportRun *run)
{
    const char *text;
    size_t length;
    int r, exit_code;

    while ((r = next_line(&run->source, &text, &length)) > 0) {
        exit_code = take_line(run, text, length);
        if (exit_code != EXIT_OK)
            return exit_code;
        if (run->errors == ERRORS_MAX)
            return cli_fail(EXIT_INVALID, "too many errors in %s; nothing was imported",
                            run->source.name);
    }
    if (r == -EMSGSIZE)
        return cli_fail(EXIT_INVALID, "%s:%zu: longer than any line of a key file",
                        run->source.name, run->source.line + 1);
    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot read %s: %s", run->source.name, strerror(-r));
    if (run->errors > 0)
        return cli_fail(EXIT_INVALID, "nothing was imported");
    return EXIT_OK;
}

static int print_result(const ImportRun *run, json_object *reply)
{
    uint64_t added, unchanged, unpublished;

    if (json_get_uint(reply, "added", INT64_MAX, &added) <= 0 ||
        json_get_uint(reply, "unchanged", INT64_MAX, &unchanged) <= 0 ||
        json_get_uint(reply, "unpublished", INT64_MAX, &unpublished) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without a result");
    if (run->o->json != JSON_OFF) {
        if (json_add_uint(reply, "skipped", run->skipped) < 0)
            return cli_out_of_memory();
        cli_print_json(run->o, reply);
    } else if (run->o->legend) {
        printf("%llu %s, %llu unchanged, %zu skipped\n", (unsigned long long)added,
               run->o->dry_run ? "to import" : "imported", (unsigned long long)unchanged,
               run->skipped);
    }
    cli_print_new_store(reply);
    cli_print_warnings(reply);
    if (run->o->n_force_for > 0 && added > 0 && !json_object_object_get_ex(reply, "forced", NULL))
        (void)cli_fail(EXIT_OK, "warning: no conflict needed --force-for=");
    if (unpublished > 0)
        (void)cli_fail(EXIT_OK,
                       "warning: %llu keys are stored, but not in the kernel's keyring, see "
                       "nvme-keyctl status",
                       (unsigned long long)unpublished);
    return EXIT_OK;
}

int verb_import(const Options *o)
{
    _cleanup_(run_done) ImportRun run = {.o = o};
    _cleanup_(json_putp) json_object *reply = NULL;
    int r;

    if ((r = open_source(o, &run.source)) != EXIT_OK || (r = read_lines(&run)) != EXIT_OK)
        return r;
    if (!run.lines)
        return cli_fail(EXIT_INVALID, "no PSK in %s", run.source.name);
    r = send_keys(&run, &reply);
    return r == EXIT_OK ? print_result(&run, reply) : r;
}
