/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyctl/envelope-file.h"

/*
 * inbox: has the service take the envelopes in a directory, the oldest first. Each is a file that
 * has come there by a rename; names that begin with a dot or end in ".tmp" are on their way.
 *
 *    taken     the file is removed
 *    refused   it stays, with NAME.reason beside it, and is tried again when it has changed
 *    not now   it stays, and is tried again the next time
 *
 * Other people may write to the directory, so no symbolic link is followed. One is on purpose: a
 * volume of Kubernetes has its files in a directory that "..data" leads to, and replaces that link.
 * Those files are not ours, so they stay, and a replay there was taken before.
 */

#define DATA "..data"
#define REASON ".reason"
#define FILES_MAX 4096

typedef struct File {
    char *name;
    struct timespec changed;
} File;

typedef struct Inbox {
    const Options *o;
    VarlinkClient *client;
    const char *path;
    int dirfd; /* of the files */
    bool keeps;
    File *files;
    size_t n;
    int status;         /* the exit code */
    json_object *taken; /* names, for --json= */
} Inbox;

static void inbox_done(const Inbox *i)
{
    for (size_t j = 0; j < i->n; j++)
        free(i->files[j].name);
    free(i->files);
    closep(&i->dirfd);
    varlink_client_free(i->client);
    json_object_put(i->taken);
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Names of strangers must not change what a terminal shows. */
static const char *shown(const char *name)
{
    return text_is_printable(name) ? name : "(a name that cannot be printed)";
}

/* Opens the directory that holds the files. */
static int open_directory(Inbox *i)
{
    _cleanup_(closep) int dirfd = open(i->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char target[NAME_MAX + 1];
    ssize_t n = dirfd < 0 ? -1 : readlinkat(dirfd, DATA, target, sizeof(target) - 1);

    if (dirfd < 0)
        return cli_fail(EXIT_INVALID, "cannot read %s: %s", i->path, strerror(errno));
    if (n < 0) {
        i->dirfd = TAKE_FD(dirfd);
        return EXIT_OK;
    }
    target[n] = '\0';
    i->keeps = true;
    if (strncmp(target, "..", 2) != 0 || strchr(target, '/') || !target[2])
        return cli_fail(EXIT_INVALID, "%s/" DATA " leads out of the directory", i->path);
    i->dirfd = openat(dirfd, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return i->dirfd >= 0
               ? EXIT_OK
               : cli_fail(EXIT_INVALID, "cannot read %s/" DATA ": %s", i->path, strerror(errno));
}

/* A reason that is newer than its file was written for it. */
static bool was_refused(int dirfd, const char *name, const struct stat *file)
{
    char reason[NAME_MAX + sizeof(REASON)];
    struct stat st;

    (void)snprintf(reason, sizeof(reason), "%s" REASON, name);
    return fstatat(dirfd, reason, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (st.st_mtim.tv_sec > file->st_ctim.tv_sec ||
            (st.st_mtim.tv_sec == file->st_ctim.tv_sec &&
             st.st_mtim.tv_nsec >= file->st_ctim.tv_nsec));
}

static int compare_files(const void *a, const void *b)
{
    const File *x = a, *y = b;

    if (x->changed.tv_sec != y->changed.tv_sec)
        return x->changed.tv_sec < y->changed.tv_sec ? -1 : 1;
    if (x->changed.tv_nsec != y->changed.tv_nsec)
        return x->changed.tv_nsec < y->changed.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int find_files(Inbox *i)
{
    int fd = dup(i->dirfd);
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    i->files = calloc(FILES_MAX, sizeof(*i->files));
    if (!dir || !i->files)
        return cli_out_of_memory();
    while (i->n < FILES_MAX && (e = readdir(dir))) {
        struct stat st;

        if (e->d_name[0] == '.' || has_end(e->d_name, ".tmp") || has_end(e->d_name, REASON) ||
            fstatat(i->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            was_refused(i->dirfd, e->d_name, &st))
            continue;
        i->files[i->n] = (File){strdup(e->d_name), st.st_mtim};
        if (!i->files[i->n++].name)
            return cli_out_of_memory();
    }
    qsort(i->files, i->n, sizeof(*i->files), compare_files);
    return EXIT_OK;
}

static int note_taken(const Inbox *i, const char *name, json_object *reply)
{
    if (i->o->json == JSON_OFF)
        envelope_file_report("", reply);
    else if (json_append_take(i->taken, json_object_new_string(shown(name))) < 0)
        return cli_out_of_memory();
    return EXIT_OK;
}

static void remove_file(const Inbox *i, const char *name)
{
    char reason[NAME_MAX + sizeof(REASON)];

    (void)snprintf(reason, sizeof(reason), "%s" REASON, name);
    if (unlinkat(i->dirfd, name, 0) < 0)
        (void)cli_fail(EXIT_OTHER, "cannot remove %s, which was taken: %s", shown(name),
                       strerror(errno));
    (void)unlinkat(i->dirfd, reason, 0);
}

static void refuse(Inbox *i, const char *name, const char *why)
{
    char file[NAME_MAX + sizeof(REASON)];
    _cleanup_(freep) char *line = NULL;
    int n = snprintf(file, sizeof(file), "%s" REASON, name);

    i->status = cli_fail(EXIT_REFUSED, "%s: refused: %s", shown(name), why);
    if (i->keeps || n > NAME_MAX || asprintf(&line, "%s\n", why) < 0)
        return;
    if (io_write_file_at(i->dirfd, file, line, strlen(line)) < 0)
        (void)cli_fail(EXIT_OTHER, "cannot write %s", shown(file));
}

/* Errors that may go by. */
static bool is_passing(const char *error)
{
    static const char *const names[] = {
        NAMES_MANAGER_INTERFACE ".EnvelopeNotYet", NAMES_MANAGER_INTERFACE ".KeyNeeded",
        NAMES_MANAGER_INTERFACE ".TooManyCalls", NAMES_MANAGER_INTERFACE ".StoreUnavailable"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(error, names[i]) == 0)
            return true;
    return text_after(error, NAMES_MANAGER_INTERFACE ".") == NULL;
}

static int read_file(const Inbox *i, const char *name, char **ret)
{
    _cleanup_(closep) int fd =
        openat(i->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? envelope_file_read(fd, ret) : -EINVAL;
}

static int take(Inbox *i, const char *name)
{
    _cleanup_(json_putp) json_object *reply = NULL;
    _cleanup_(freep) char *pem = NULL, *error = NULL;
    int r = read_file(i, name, &pem);

    /* It was renamed or removed meanwhile. */
    if (r == -ENOENT)
        return EXIT_OK;
    if (r < 0) {
        refuse(i, name, r == -EFBIG ? "too large for an envelope" : strerror(-r));
        return EXIT_OK;
    }
    r = envelope_file_take(i->o, i->client, pem, &reply, &error);
    if (r != EXIT_OK)
        return r;
    if (!error) {
        if (!i->keeps)
            remove_file(i, name);
        return note_taken(i, name, reply);
    }
    if (i->keeps && strcmp(error, NAMES_MANAGER_INTERFACE ".EnvelopeReplayed") == 0)
        return EXIT_OK;
    if (is_passing(error)) {
        _cleanup_(freep) char *where = NULL;

        if (asprintf(&where, "%s: ", shown(name)) < 0)
            return cli_out_of_memory();
        i->status = cli_fail_with_error(where, error, reply);
    } else {
        refuse(i, name, json_string_or(reply, "message", error));
    }
    return EXIT_OK;
}

static int take_all(Inbox *i)
{
    int r = i->n > 0 ? cli_connect(i->o, &i->client) : EXIT_OK;

    for (size_t j = 0; j < i->n && r == EXIT_OK; j++)
        r = take(i, i->files[j].name);
    return r;
}

static int print_taken(Inbox *i)
{
    _cleanup_(json_putp) json_object *all = json_object_new_object();

    if (!all || json_add_take(all, "taken", TAKE_PTR(i->taken)) < 0)
        return cli_out_of_memory();
    cli_print_json(i->o, all);
    return EXIT_OK;
}

int verb_inbox(const Options *o)
{
    _cleanup_(inbox_done) Inbox i = {.o = o,
                                     .path = o->arguments[0] ? o->arguments[0] : NAMES_INBOX,
                                     .dirfd = -EBADF,
                                     .taken = json_object_new_array()};
    int r = open_directory(&i);

    if (r == EXIT_OK)
        r = find_files(&i);
    if (r == EXIT_OK)
        r = take_all(&i);
    if (r == EXIT_OK && o->json != JSON_OFF)
        r = print_taken(&i);
    return r == EXIT_OK ? i.status : r;
}
