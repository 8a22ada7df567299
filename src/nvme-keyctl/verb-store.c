/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/output.h"

/* store image and backup: write a sealed store once all of it has arrived. */

typedef struct Export {
    char *dir;    /* of store image */
    FILE *memory; /* writes text */
    char *text;
    size_t size;
    json_object *result; /* the last reply */
} Export;

static void export_done(Export *e)
{
    fclosep(&e->memory);
    free(e->text);
    free(e->dir);
    json_object_put(e->result);
}

/* Returns 1 for an empty directory, 0 for another one, or an error. */
static int is_empty(const char *path)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int empty = 1;

    if (!d)
        return -errno;
    fd = -EBADF;
    while (empty && (entry = readdir(d)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    return empty;
}

static int fail_to_make(const Export *e, int error)
{
    return cli_fail(EXIT_OTHER, "cannot make %s: %s", e->dir, strerror(error));
}

static int check_dir(const char *argument, Export *e)
{
    size_t length = strlen(argument);
    int r;

    while (length > 1 && argument[length - 1] == '/')
        length--;
    e->dir = strndup(argument, length);
    e->memory = open_memstream(&e->text, &e->size);
    if (!e->dir || !e->memory)
        return cli_out_of_memory();
    r = is_empty(e->dir);
    if (r == 1 || r == -ENOENT)
        return EXIT_OK;
    if (r < 0)
        return fail_to_make(e, -r);
    return cli_fail(EXIT_CONFLICT, "%s is not empty", e->dir);
}

static int take_piece(json_object *parameters, void *userdata)
{
    Export *e = userdata;
    const char *content;

    if (json_get_string(parameters, "content", &content) <= 0)
        return json_object_deep_copy(parameters, &e->result, NULL) < 0 ? -ENOMEM : 0;
    return e->result ? -EBADMSG : fputs(content, e->memory) < 0 ? -ENOMEM : 0;
}

static int fetch(const Options *o, Export *e)
{
    _cleanup_(json_putp) json_object *parameters = json_object_new_object();
    json_object *nqns = NULL;

    if (!parameters)
        return cli_out_of_memory();
    if (o->n_subsysnqns > 0) {
        nqns = json_object_new_array();
        if (json_add_take(parameters, "subsystemNQNs", nqns) < 0)
            return cli_out_of_memory();
    }
    for (size_t i = 0; i < o->n_subsysnqns; i++)
        if (json_append_take(nqns, json_object_new_string(o->subsysnqns[i])) < 0)
            return cli_out_of_memory();
    return cli_call_more(o, "StoreImage", TAKE_PTR(parameters), take_piece, e);
}

/* The file gets its name when it is complete; until then it has another one. */
static int write_file(int dirfd, const char *temporary, const char *name, const Export *e)
{
    int r = io_write_file_at(dirfd, temporary, e->text, e->size);

    if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0) {
        r = -errno;
        (void)unlinkat(dirfd, temporary, 0);
    }
    return r < 0 ? r : io_sync_dir(dirfd);
}

static int write_store(const Export *e)
{
    _cleanup_(closep) int fd = -EBADF;
    bool made = mkdir(e->dir, 0700) == 0;
    int r;

    if (!made && errno != EEXIST)
        return -errno;
    fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = fd < 0 || fchmod(fd, 0700) < 0 ? -errno : 0;
    if (r == 0)
        r = write_file(fd, "store.new", "store", e);
    if (r < 0 && made)
        (void)rmdir(e->dir);
    return r;
}

static int put_in_place(Export *e)
{
    int r;

    if (fflush(e->memory) != 0)
        return cli_out_of_memory();
    r = write_store(e);
    return r < 0 ? fail_to_make(e, -r) : EXIT_OK;
}

/* where: the place of the keys. */
static int print_result(const Options *o, const Export *e, const char *where)
{
    uint64_t keys, broken;

    if (json_get_uint(e->result, "keys", INT64_MAX, &keys) <= 0 ||
        json_get_uint(e->result, "broken", INT64_MAX, &broken) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without a result");
    if (o->json != JSON_OFF)
        cli_print_json(o, e->result);
    else if (o->legend)
        printf("%llu keys in %s\n", (unsigned long long)keys, where);
    if (broken > 0)
        (void)cli_fail(EXIT_OK, "warning: %llu keys are broken and left out, see nvme-keyctl list",
                       (unsigned long long)broken);
    return EXIT_OK;
}

int verb_store_image(const Options *o)
{
    _cleanup_(export_done) Export e = {.dir = NULL};
    int r;

    if ((r = check_dir(o->arguments[0], &e)) != EXIT_OK || (r = fetch(o, &e)) != EXIT_OK ||
        (r = put_in_place(&e)) != EXIT_OK)
        return r;
    return print_result(o, &e, e.dir);
}

static int fail_to_back_up(const char *path, int error)
{
    return cli_fail(EXIT_OTHER, "cannot make %s: %s", path, strerror(error));
}

/* A backup replaces an older one as a whole. */
static int check_place(const char *path)
{
    struct stat st;

    if (strcmp(path, "-") == 0)
        return isatty(STDOUT_FILENO)
                   ? cli_fail(EXIT_USAGE, "a backup is not for a terminal: redirect it, or give "
                                          "the name of a file")
                   : EXIT_OK;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? EXIT_OK : fail_to_back_up(path, errno);
    return S_ISREG(st.st_mode) ? EXIT_OK
                               : cli_fail(EXIT_CONFLICT, "%s is not a regular file", path);
}

static int write_backup(const Export *e, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    _cleanup_(freep) char *dir = slash ? strndup(path, (size_t)(name - path)) : strdup("."),
                          *temporary = NULL;
    _cleanup_(closep) int fd = -EBADF;

    if (!dir || asprintf(&temporary, ".%s.new", name) < 0)
        return -ENOMEM;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : write_file(fd, temporary, name, e);
}

int verb_backup(const Options *o)
{
    _cleanup_(export_done) Export e = {.dir = NULL};
    const char *path = o->arguments[0];
    bool is_output = strcmp(path, "-") == 0;
    int r = check_place(path);

    if (r == EXIT_OK && is_output && o->json != JSON_OFF)
        r = cli_fail(EXIT_USAGE, "--json= needs a file for the backup");
    if (r != EXIT_OK)
        return r;
    e.memory = open_memstream(&e.text, &e.size);
    if (!e.memory)
        return cli_out_of_memory();
    r = cli_call_more(o, "Backup", NULL, take_piece, &e);
    if (r != EXIT_OK)
        return r;
    if (fflush(e.memory) != 0)
        return cli_out_of_memory();
    if (is_output) {
        r = io_write_all(STDOUT_FILENO, e.text, e.size);
        return r < 0 ? cli_fail(EXIT_OTHER, "standard output %s", output_error_text(r)) : EXIT_OK;
    }
    r = write_backup(&e, path);
    return r < 0 ? fail_to_back_up(path, -r) : print_result(o, &e, path);
}

/* Removes the rollback counter of a store that is gone. */
int verb_store_forget(const Options *o)
{
    _cleanup_(json_putp) json_object *p = json_object_new_object(), *reply = NULL;
    const char *text = o->arguments[0];
    unsigned long long index;
    char *end;
    int r;

    errno = 0;
    index = strtoull(text, &end, 16);
    if (!text_after(text, "0x") || errno != 0 || *end != '\0' || index > UINT32_MAX)
        return cli_fail(EXIT_USAGE,
                        "INDEX must be a number such as 0x1a01234, as nvme-keyd prints it");
    if (!p || json_add_uint(p, "index", index) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "RemoveCounter", TAKE_PTR(p), &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}
