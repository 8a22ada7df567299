/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "nvme-keyctl/import-read.h"

/* Secrets that import leaves in files, and commands that comment them out. */

/* More ranges would make a command too long to be read, so another one names the secrets by their
 * form. */
#define RANGES_MAX 64

typedef struct Lines {
    size_t *line;
    size_t n;
} Lines;

static int compare(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

/* The lines of a file that belong to keys, sorted, each once. */
static int find_lines(const ImportRead *r, size_t file, Lines *ret)
{
    size_t n = 0;

    ret->line = calloc(2 * r->n + 1, sizeof(*ret->line));
    if (!ret->line)
        return -ENOMEM;
    for (size_t i = 0; i < r->n; i++) {
        if (r->places[i].file != file)
            continue;
        if (r->places[i].line > 0)
            ret->line[n++] = r->places[i].line;
        if (r->places[i].source_line > 0)
            ret->line[n++] = r->places[i].source_line;
    }
    qsort(ret->line, n, sizeof(*ret->line), compare);
    ret->n = 0;
    for (size_t i = 0; i < n; i++)
        if (ret->n == 0 || ret->line[ret->n - 1] != ret->line[i])
            ret->line[ret->n++] = ret->line[i];
    return 0;
}

static size_t end_of_range(const Lines *l, size_t i)
{
    while (i + 1 < l->n && l->line[i + 1] == l->line[i] + 1)
        i++;
    return i;
}

static void print_quoted(FILE *f, const char *s)
{
    (void)fputc('\'', f);
    for (; *s; s++)
        (void)fputs(*s == '\'' ? "'\\''" : (const char[]){*s, '\0'}, f);
    (void)fputc('\'', f);
}

static void print_ranges(FILE *f, const Lines *l)
{
    size_t ranges = 0;

    for (size_t i = 0; i < l->n; i = end_of_range(l, i) + 1)
        ranges++;
    if (ranges > RANGES_MAX) {
        (void)fputs(" -e '/NVMeTLSkey-/s/^[^#]/#&/'", f);
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        size_t end = end_of_range(l, i);

        if (end > i)
            (void)fprintf(f, " -e '%zu,%zus/^/#/'", l->line[i], l->line[end]);
        else
            (void)fprintf(f, " -e '%zus/^/#/'", l->line[i]);
        i = end;
    }
}

/* A command for the shell, to be freed; NULL if the format has no comments, or without memory. */
static char *make_command(const ImportFile *file, const Lines *l)
{
    char *command = NULL;
    size_t size;
    FILE *f;

    if (file->format == FORMAT_CONFIG_JSON || !(f = open_memstream(&command, &size)))
        return NULL;
    (void)fputs(file->format == FORMAT_PSK ? "rm --" : "sed -i", f);
    if (file->format != FORMAT_PSK) {
        print_ranges(f, l);
        (void)fputs(" --", f);
    }
    (void)fputc(' ', f);
    print_quoted(f, file->name);
    if (fclose(f) != 0) {
        free(command);
        return NULL;
    }
    return command;
}

static void print_file(const ImportFile *file, const Lines *l)
{
    _cleanup_(freep) char *command = make_command(file, l);

    if (command) {
        printf("%s still has the secrets. Once all works, %s:\n    %s\n", file->name,
               file->format == FORMAT_PSK ? "remove it" : "comment them out there", command);
        return;
    }
    printf("%s still has the secrets. Once all works, take tls_key and tls_key_identity out of "
           "these lines:\n",
           file->name);
    for (size_t i = 0; i < l->n; i++)
        printf("    %s:%zu\n", file->name, l->line[i]);
}

void import_print_left(const ImportRead *r)
{
    for (size_t i = 0; i < r->n_files; i++) {
        Lines l;

        if (!r->files[i].is_path || find_lines(r, i, &l) < 0)
            continue;
        if (l.n > 0)
            print_file(&r->files[i], &l);
        free(l.line);
    }
}

static int add_file(const ImportFile *file, const Lines *l, json_object *left)
{
    _cleanup_(freep) char *command = make_command(file, l);
    json_object *o = json_object_new_object(), *lines = json_object_new_array();
    int r = json_append_take(left, o);

    r |= json_add_take(o, "lines", lines);
    r |= json_add_string(o, "file", file->name);
    for (size_t i = 0; i < l->n && r == 0; i++)
        r = json_append_take(lines, json_object_new_int64((int64_t)l->line[i]));
    return r == 0 && command ? json_add_string(o, "command", command) : r;
}

int import_add_left(const ImportRead *r, json_object *reply)
{
    json_object *left = json_object_new_array();
    int result = json_add_take(reply, "left", left);

    for (size_t i = 0; i < r->n_files && result == 0; i++) {
        Lines l;

        if (!r->files[i].is_path)
            continue;
        result = find_lines(r, i, &l);
        if (result == 0 && l.n > 0)
            result = add_file(&r->files[i], &l, left);
        free(l.line);
    }
    return result;
}
