/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/text.h"
#include "nvme-keyctl/cli.h"

/* store export: a copy of the store for a boot image. It gets its name when it is complete. */

typedef struct Place {
    char *dir;
    char *temporary; /* next to it, until it gets its name */
    int alive;       /* our end of a pipe: while it is open we are there */
    pid_t guard;     /* who removes temporary when we are not */
    int root, index, records;
    int error;           /* of a file that could not be written */
    json_object *result; /* the last reply */
} Place;

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
                      _unused_ struct FTW *ftw)
{
    return remove(path);
}

/* In a process of its own, which signals to us do not reach. */
static void guard_temporary(const Place *p, int ours)
{
    char c;

    (void)setsid();
    (void)close(p->alive);
    while (read(ours, &c, 1) < 0 && errno == EINTR)
        continue;
    /* It has another name by now if it is complete. */
    (void)nftw(p->temporary, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

/* However we end, nothing is left of a copy that is not complete. */
static int start_guard(Place *p)
{
    _cleanup_(closep) int ours = -EBADF;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    ours = fds[0];
    p->alive = fds[1];
    p->guard = fork();
    if (p->guard == 0)
        guard_temporary(p, ours);
    return p->guard < 0 ? -errno : 0;
}

static void place_done(Place *p)
{
    closep(&p->alive);
    if (p->guard > 0)
        while (waitpid(p->guard, NULL, 0) < 0 && errno == EINTR)
            continue;
    else if (p->temporary)
        (void)rmdir(p->temporary);
    free(p->temporary);
    free(p->dir);
    closep(&p->root);
    closep(&p->index);
    closep(&p->records);
    json_object_put(p->result);
}

/* Returns 1 for a directory without anything in it, 0 for another one, or an error. */
static int is_empty(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), empty = 1;
    const struct dirent *entry;
    DIR *d;

    if (fd < 0)
        return -errno;
    d = fdopendir(fd);
    if (!d) {
        closep(&fd);
        return -ENOMEM;
    }
    while (empty && (entry = readdir(d)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(d);
    return empty;
}

static int fail_to_make(const Place *p, int error)
{
    return cli_fail(EXIT_OTHER, "cannot make %s: %s", p->dir, strerror(error));
}

static int check_dir(const char *argument, Place *p)
{
    size_t length = strlen(argument);
    int r;

    while (length > 1 && argument[length - 1] == '/')
        length--;
    p->dir = strndup(argument, length);
    if (!p->dir)
        return cli_out_of_memory();
    r = is_empty(p->dir);
    if (r == 1 || r == -ENOENT)
        return EXIT_OK;
    if (r < 0)
        return fail_to_make(p, -r);
    return cli_fail(EXIT_CONFLICT, "%s is not empty", p->dir);
}

static int open_below(int dirfd, const char *name)
{
    if (mkdirat(dirfd, name, 0700) < 0)
        return -1;
    return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int make_temporary(Place *p)
{
    _cleanup_(freep) char *name = NULL;
    int r;

    if (asprintf(&name, "%s.XXXXXX", p->dir) < 0)
        return cli_out_of_memory();
    if (!mkdtemp(name))
        return fail_to_make(p, errno);
    p->temporary = TAKE_PTR(name);
    r = start_guard(p);
    if (r < 0)
        return fail_to_make(p, -r);
    p->root = open(p->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->root < 0 || (p->index = open_below(p->root, "index")) < 0 ||
        (p->records = open_below(p->root, "records")) < 0)
        return fail_to_make(p, errno);
    return EXIT_OK;
}

/* The directory that a path is in, and the rest of it; -1 for a path that no store has. */
static int find_dir(const Place *p, const char *path, const char **ret_name)
{
    const char *slash = strchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = (size_t)(name - path);

    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return -1;
    *ret_name = name;
    return n == 0                              ? p->root
           : strncmp(path, "index/", n) == 0   ? p->index
           : strncmp(path, "records/", n) == 0 ? p->records
                                               : -1;
}

static int take_file(json_object *parameters, void *userdata)
{
    Place *p = userdata;
    const char *path, *content, *name;
    int fd;

    if (json_get_string(parameters, "path", &path) <= 0)
        return json_object_deep_copy(parameters, &p->result, NULL) < 0 ? -ENOMEM : 0;
    if (p->result || json_get_string(parameters, "content", &content) <= 0)
        return -EBADMSG;
    fd = find_dir(p, path, &name);
    if (fd < 0)
        return -EBADMSG;
    /* The rest of the answer is taken all the same: it is not the service that failed. */
    if (p->error == 0)
        p->error = io_write_file_unsynced_at(fd, name, content, strlen(content));
    return 0;
}

static int fetch(const Options *o, Place *p)
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
    return cli_call_more(o, "ExportStore", TAKE_PTR(parameters), take_file, p);
}

static int put_in_place(const Place *p)
{
    if (p->error < 0)
        return fail_to_make(p, -p->error);
    /* Over an empty directory, and over nothing else. Who makes an image of it may sync that. */
    if (rename(p->temporary, p->dir) < 0)
        return fail_to_make(p, errno);
    return EXIT_OK;
}

static int print_result(const Options *o, const Place *p)
{
    uint64_t keys, broken;

    if (json_get_uint(p->result, "keys", INT64_MAX, &keys) <= 0 ||
        json_get_uint(p->result, "broken", INT64_MAX, &broken) <= 0)
        return cli_fail(EXIT_OTHER, "nvme-keyd answered without a result");
    if (o->json != JSON_OFF)
        cli_print_json(o, p->result);
    else if (o->legend)
        printf("%llu keys in %s\n", (unsigned long long)keys, p->dir);
    if (broken > 0)
        (void)cli_fail(EXIT_OK, "warning: %llu keys are broken and left out, see nvme-keyctl list",
                       (unsigned long long)broken);
    return EXIT_OK;
}

int verb_store_export(const Options *o)
{
    _cleanup_(place_done) Place p = {
        .alive = -EBADF, .root = -EBADF, .index = -EBADF, .records = -EBADF};
    int r;

    if ((r = check_dir(o->arguments[0], &p)) != EXIT_OK || (r = make_temporary(&p)) != EXIT_OK ||
        (r = fetch(o, &p)) != EXIT_OK || (r = put_in_place(&p)) != EXIT_OK)
        return r;
    return print_result(o, &p);
}

/* The rollback counter of a store that is gone. */
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
                        "INDEX is a number such as 0x1a01234, as nvme-keyd has told it");
    if (!p || json_add_uint(p, "index", index) < 0)
        return cli_out_of_memory();
    r = cli_call(o, "RemoveCounter", TAKE_PTR(p), &reply);
    if (r == EXIT_OK && o->json != JSON_OFF)
        cli_print_json(o, reply);
    return r;
}
