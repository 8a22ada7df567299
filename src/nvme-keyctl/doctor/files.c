/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/secret.h"
#include "nvme-keyctl/doctor/files.h"
#include "nvme-keyctl/doctor/limits.h"
#include "nvme-keyctl/doctor/redact.h"

void doctor_file_done(DoctorFile *f)
{
    free(f->text);
    *f = (DoctorFile){.text = NULL};
}

static int append(DoctorFile *f, size_t *room, const void *data, size_t size)
{
    if (*room - f->size <= size) {
        size_t grown = 2 * *room + size + 1;
        char *text = realloc(f->text, grown);

        if (!text)
            return -ENOMEM;
        f->text = text;
        *room = grown;
    }
    memcpy(f->text + f->size, data, size);
    f->size += size;
    f->text[f->size] = '\0';
    return 0;
}

static int read_all(int fd, size_t max, Secret *chunk, DoctorFile *f)
{
    Redact redactor = {.length = 0};
    size_t room = 0;
    int r = append(f, &room, "", 0);

    while (r == 0 && f->size < max) {
        ssize_t n = read(fd, chunk->data, CONST_MIN(chunk->size, max - f->size));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        redact(&redactor, (char *)chunk->data, (size_t)n);
        r = append(f, &room, chunk->data, (size_t)n);
    }
    redact_end(&redactor);
    f->n_psks = redactor.n_psks;
    f->is_cut = f->size == max;
    return r;
}

int doctor_read(int root, const char *path, size_t max, DoctorFile *ret)
{
    _cleanup_(closep) int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    _cleanup_(doctor_file_done) DoctorFile f = {.text = NULL};
    _cleanup_(secret_freep) Secret *chunk = NULL;
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    chunk = secret_new(DOCTOR_CHUNK_SIZE);
    if (!chunk)
        return -ENOMEM;
    r = read_all(fd, max, chunk, &f);
    if (r < 0)
        return r;
    f.mode = st.st_mode & 07777;
    *ret = f;
    f.text = NULL;
    return 0;
}

void doctor_read_word(int root, const char *path, char *ret, size_t size)
{
    if (io_read_line_at(root, path, ret, size) < 0)
        ret[0] = '\0';
    ret[strcspn(ret, " \t")] = '\0';
}

bool doctor_exists(int root, const char *path)
{
    return faccessat(root, path, F_OK, 0) == 0;
}

void doctor_names_done(DoctorNames *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->items[i]);
    free(n->items);
    *n = (DoctorNames){NULL, 0};
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), n = strlen(suffix);

    return length > n && strcmp(name + length - n, suffix) == 0;
}

static int add_name(DoctorNames *names, const char *name)
{
    char **items = reallocarray(names->items, names->n + 1, sizeof(*items));

    if (!items)
        return -ENOMEM;
    names->items = items;
    items[names->n] = strdup(name);
    if (!items[names->n])
        return -ENOMEM;
    names->n++;
    return 0;
}

int doctor_names_unsorted(int root, const char *directory, const char *suffix, DoctorNames *ret)
{
    _cleanup_(closep) int fd = openat(root, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(doctor_names_done) DoctorNames names = {NULL, 0};
    _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    int r = 0;

    *ret = names;
    if (!dir)
        return 0;
    fd = -EBADF;
    while (r == 0 && names.n < DOCTOR_NAMES_MAX && (e = readdir(dir)))
        if (e->d_name[0] != '.' && ends_with(e->d_name, suffix))
            r = add_name(&names, e->d_name);
    if (r < 0)
        return r;
    *ret = names;
    names = (DoctorNames){NULL, 0};
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int doctor_names(int root, const char *directory, const char *suffix, DoctorNames *ret)
{
    int r = doctor_names_unsorted(root, directory, suffix, ret);

    if (r == 0 && ret->n > 1)
        qsort(ret->items, ret->n, sizeof(*ret->items), compare);
    return r;
}
