/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/import-read.h"
#include "nvme-keyctl/text-file.h"
#include "varlink/json-wire.h"
#include "varlink/message.h"

#define CONF ".conf"
#define DROP_INS ".d"
/* nvme-cli has one file for each host personality of a machine. */
#define FILES_MAX 1024
/* Members and quotes of a key in the call, besides its texts. */
#define KEY_OVERHEAD 64

void import_read_done(const ImportRead *r)
{
    for (size_t i = 0; i < r->n_files; i++)
        free(r->files[i].name);
    free(r->files);
    free(r->places);
    varlink_json_erase_put(r->keys);
    json_object_put(r->listing);
}

char *import_format_place(const ImportRead *r, size_t index)
{
    const ImportPlace *p = &r->places[index];
    char *place;
    int n = p->line > 0 ? asprintf(&place, "%s:%zu: ", r->files[p->file].name, p->line)
                        : asprintf(&place, "%s: ", r->files[p->file].name);

    return n < 0 ? NULL : place;
}

/* The beginning of a message about a place. */
static void fail_at(const ImportRead *r, size_t line, const char *text)
{
    const char *name = r->files[r->n_files - 1].name;

    if (line > 0)
        (void)cli_fail(EXIT_OK, "%s:%zu: %s", name, line, text);
    else
        (void)cli_fail(EXIT_OK, "%s: %s", name, text);
}

static int note_fault(ImportRead *r, size_t line, const char *text)
{
    r->errors++;
    fail_at(r, line, text);
    return 0;
}

static int note_other(ImportRead *r, const Found *f)
{
    r->skipped++;
    if (r->o->dry_run && r->o->json == JSON_OFF) {
        char text[128];

        (void)snprintf(text, sizeof(text), "skipped: %s", f->text);
        fail_at(r, f->line, text);
    }
    return 0;
}

static void warn_of_name(const ImportRead *r, const Found *f, const char *what, const char *name)
{
    char text[NQN_LENGTH_MAX + 160];

    if (text_after(name, "nqn."))
        return;
    (void)snprintf(
        text, sizeof(text),
        "warning: the %s NQN %s does not begin with \"nqn.\": the kernel takes it, other "
        "targets may not",
        what, name);
    fail_at(r, f->line, text);
}

static int note_place(ImportRead *r, const Found *f)
{
    if (r->n == r->room) {
        size_t room = 2 * r->room + 64;
        ImportPlace *places = reallocarray(r->places, room, sizeof(*places));

        if (!places)
            return -ENOMEM;
        r->places = places;
        r->room = room;
    }
    r->places[r->n++] = (ImportPlace){r->n_files - 1, f->line, f->source_line};
    return 0;
}

static int list_key(ImportRead *r, const Found *f, const char *hostnqn, const char *subsysnqn)
{
    json_object *o = json_object_new_object();
    int e;

    if (!r->listing)
        r->listing = json_object_new_array();
    e = json_append_take(r->listing, o);
    if (e < 0)
        return e;
    e = json_add_string(o, "file", r->files[r->n_files - 1].name);
    if (f->line > 0)
        e |= json_add_uint(o, "line", f->line);
    e |= json_add_string(o, "kind", f->identity ? "derived" : "configured");
    if (f->identity)
        e |= json_add_string(o, "identity", f->identity);
    else
        e |= json_add_string(o, "hash", psk_hash_to_string(f->hash));
    return e | json_add_string(o, "hostNQN", hostnqn) |
           json_add_string(o, "subsystemNQN", subsysnqn);
}

static int add_to_call(ImportRead *r, const Found *f, const char *hostnqn, const char *subsysnqn)
{
    _cleanup_(varlink_json_erase_putp) json_object *key = json_object_new_object();
    _cleanup_(secret_freep) Secret *text = NULL;
    int e;

    if (!key || psk_interchange_format(f->hash, f->psk, &text) != 0)
        return -ENOMEM;
    e = f->identity ? json_add_string(key, "identity", f->identity)
                    : json_add_string(key, "hostNQN", hostnqn) |
                          json_add_string(key, "subsystemNQN", subsysnqn);
    if (e < 0 || json_add_string(key, "psk", (const char *)text->data) < 0)
        return -ENOMEM;
    r->size += text->size + KEY_OVERHEAD +
               (f->identity ? strlen(f->identity) : strlen(hostnqn) + strlen(subsysnqn));
    if (!r->keys)
        r->keys = json_object_new_array();
    if (!r->keys || json_object_array_add(r->keys, key) < 0)
        return -ENOMEM;
    (void)TAKE_PTR(key);
    return 0;
}

static int add_psk(ImportRead *r, const Found *f)
{
    const char *hostnqn = f->hostnqn ? f->hostnqn : r->hostnqn,
               *subsysnqn = f->subsysnqn ? f->subsysnqn : r->o->subsysnqn;
    int e;

    if (!subsysnqn)
        return note_fault(r, f->line, "it does not say for which subsystem: give --subsysnqn=");
    if (!*hostnqn && (e = cli_hostnqn(r->o, r->hostnqn)) != EXIT_OK)
        return e;
    warn_of_name(r, f, "host", hostnqn);
    warn_of_name(r, f, "subsystem", subsysnqn);
    /* After an error, the rest is only checked. */
    if (r->errors > 0)
        return 0;
    if (note_place(r, f) < 0 || list_key(r, f, hostnqn, subsysnqn) < 0 ||
        add_to_call(r, f, hostnqn, subsysnqn) < 0)
        return cli_out_of_memory();
    return r->size > VARLINK_MESSAGE_MAX ? cli_fail_too_long() : 0;
}

static Part part_of(const char *s)
{
    return s ? (Part){s, strlen(s)} : (Part){NULL, 0};
}

static int take(const Found *f, void *userdata);

static int open_credential(ImportRead *r, const Found *f)
{
    _cleanup_(secret_freep) Secret *content = NULL;
    _cleanup_(freep) char *detail = NULL;
    FoundKey k = {.line = f->line,
                  .source_line = f->source_line,
                  .hostnqn = part_of(f->hostnqn),
                  .subsysnqn = part_of(f->subsysnqn),
                  .identity = part_of(f->identity)};
    int e = import_open_credential(f->credential, &content, &detail);

    if (e == -ENOMEM)
        return cli_out_of_memory();
    if (e < 0)
        return note_fault(r, f->line, detail ? detail : strerror(-e));
    k.key = (Part){(const char *)content->data, content->size};
    while (k.key.length > 0 && strchr(" \t\r\n", k.key.text[k.key.length - 1]))
        k.key.length--;
    e = found_report(&k, take, r);
    return e < 0 ? cli_out_of_memory() : e;
}

static int take(const Found *f, void *userdata)
{
    ImportRead *r = userdata;

    switch (f->kind) {
    case FOUND_PSK:
        return add_psk(r, f);
    case FOUND_CREDENTIAL:
        return open_credential(r, f);
    case FOUND_OTHER:
        return note_other(r, f);
    case FOUND_FAULT:
        break;
    }
    return note_fault(r, f->line, f->text);
}

static int add_file(ImportRead *r, const char *name, bool is_path)
{
    ImportFile *files = reallocarray(r->files, r->n_files + 1, sizeof(*files));
    char *copy = strdup(name);

    if (files)
        r->files = files;
    if (!files || !copy) {
        free(copy);
        return cli_out_of_memory();
    }
    r->files[r->n_files++] = (ImportFile){.name = copy, .is_path = is_path};
    return EXIT_OK;
}

static int read_text(ImportRead *r, int fd)
{
    _cleanup_(text_file_done) TextFile t = {.text = NULL};
    ImportFile *file = &r->files[r->n_files - 1];
    int e = text_file_read(fd, FORMAT_SIZE_MAX, &t);

    if (e == -EFBIG)
        return cli_fail_too_long();
    if (e < 0)
        return cli_fail(EXIT_OTHER, "cannot read %s: %s", file->name, strerror(-e));
    file->format = format_detect(t.text, t.size);
    e = format_read(t.text, t.size, take, r);
    return e < 0 ? cli_out_of_memory() : e;
}

static int read_path(ImportRead *r, const char *path)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int e;

    if (fd < 0)
        return cli_fail(EXIT_INVALID, "cannot open %s: %s", path, strerror(errno));
    if (isatty(fd))
        return cli_fail(EXIT_USAGE, "import reads a file, not a terminal, which would show it");
    cli_warn_of_mode(fd, path);
    e = add_file(r, path, true);
    return e == EXIT_OK ? read_text(r, fd) : e;
}

static int is_conf(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > strlen(CONF) && e->d_name[0] != '.' &&
           strcmp(e->d_name + n - strlen(CONF), CONF) == 0;
}

/* Reads the files NAME.conf of a directory, in the order of their names. */
static int read_directory(ImportRead *r, const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_conf, alphasort), e = EXIT_OK;

    if (n < 0)
        return cli_fail(EXIT_OTHER, "cannot read %s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        _cleanup_(freep) char *path = NULL;

        if (e == EXIT_OK && i == FILES_MAX)
            e = cli_fail(EXIT_INVALID, "%s has more than %d files", dir, FILES_MAX);
        else if (e == EXIT_OK && asprintf(&path, "%s/%s", dir, list[i]->d_name) < 0)
            e = cli_out_of_memory();
        if (e == EXIT_OK)
            e = read_path(r, path);
        free(list[i]);
    }
    free(list);
    return e;
}

/* nvme-cli reads FILE.d beside FILE. */
static int read_drop_ins(ImportRead *r, const char *path)
{
    _cleanup_(freep) char *dir = NULL;
    struct stat st;

    if (r->files[r->n_files - 1].format != FORMAT_FABRICS)
        return EXIT_OK;
    if (asprintf(&dir, "%s" DROP_INS, path) < 0)
        return cli_out_of_memory();
    return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) ? read_directory(r, dir) : EXIT_OK;
}

static int read_all(ImportRead *r, const char *path)
{
    struct stat st;
    int e;

    if (path && strcmp(path, "-") != 0) {
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return read_directory(r, path);
        e = read_path(r, path);
        return e == EXIT_OK ? read_drop_ins(r, path) : e;
    }
    if (isatty(STDIN_FILENO))
        return cli_fail(EXIT_USAGE, "import reads a file, not a terminal, which would show it");
    e = add_file(r, "standard input", false);
    return e == EXIT_OK ? read_text(r, STDIN_FILENO) : e;
}

int import_read(const Options *o, ImportRead *r)
{
    int e;

    r->o = o;
    if (o->subsysnqn && (e = cli_check_nqn(o, o->subsysnqn, "subsystem NQN")) != EXIT_OK)
        return e;
    if (o->hostnqn && (e = cli_hostnqn(o, r->hostnqn)) != EXIT_OK)
        return e;
    e = read_all(r, o->arguments[0]);
    if (e != EXIT_OK)
        return e;
    if (r->errors > 0)
        return cli_fail(EXIT_INVALID, "nothing was imported");
    if (!r->keys)
        return cli_fail(EXIT_INVALID, "no PSK in %s",
                        r->n_files > 0 ? r->files[0].name : o->arguments[0]);
    return EXIT_OK;
}
