/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "fleet/place.h"

#define NEW_FILE ".new"
#define LOCK_FILE ".lock"

typedef struct Directory {
    Place place;
    int fd;
} Directory;

static Directory *directory_of(Place *place)
{
    return (Directory *)place;
}

void place_key(char ret[static PLACE_KEY_SIZE], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(ret, PLACE_KEY_SIZE, format, ap);
    va_end(ap);
}

/* The time of a file is too coarse to tell two versions apart. */
static int compute_version(const PlaceValue *v, uint64_t *ret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (EVP_Digest(v->data, v->size, digest, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;
    memcpy(ret, digest, sizeof(*ret));
    if (*ret == PLACE_ABSENT || *ret == PLACE_ANY)
        *ret = 1;
    return 0;
}

/* Values are replaced by rename, so the size stays. */
static int read_value(int dirfd, const char *path, PlaceValue *ret)
{
    _cleanup_(closep) int fd =
        openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    struct stat st;
    int r;

    if (fd < 0)
        return errno == ENOTDIR ? -ENOENT : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    if (st.st_size > (off_t)PLACE_VALUE_MAX)
        return -EFBIG;
    v.data = calloc(1, (size_t)st.st_size + 1);
    if (!v.data)
        return -ENOMEM;
    r = io_read_up_to(fd, v.data, (size_t)st.st_size, &v.size);
    if (r == 0)
        r = compute_version(&v, &v.version);
    if (r == 0) {
        *ret = v;
        v.data = NULL;
    }
    return r;
}

static int directory_get(Place *place, const char *key, PlaceValue *ret)
{
    return read_value(directory_of(place)->fd, key, ret);
}

static int check_version(Directory *d, const PlaceChange *change)
{
    _cleanup_(place_value_done) PlaceValue v = {.version = PLACE_ABSENT};
    int r = change->version == PLACE_ANY ? 0 : read_value(d->fd, change->key, &v);

    if (change->version == PLACE_ANY || (r == -ENOENT && change->version == PLACE_ABSENT))
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    return r == 0 && v.version == change->version ? 0 : -ESTALE;
}

/* Opens the folder of a key, and makes it if it is to be there. *ret_name is the rest of key. */
static int open_folder(Directory *d, const char *key, bool make, const char **ret_name)
{
    char path[PLACE_KEY_SIZE];
    int fd;

    for (const char *slash = strchr(key, '/'); slash && make; slash = strchr(slash + 1, '/')) {
        place_key(path, "%.*s", (int)(slash - key), key);
        if (mkdirat(d->fd, path, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    *ret_name = strrchr(key, '/') ? strrchr(key, '/') + 1 : key;
    place_key(path, "%.*s", (int)(*ret_name - key), key);
    fd = openat(d->fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Everybody may read it: there is no secret in a place. */
static int write_value(int dirfd, const char *name, const char *text)
{
    int r = io_write_file_at(dirfd, NEW_FILE, text, strlen(text));

    if (r == 0 &&
        (fchmodat(dirfd, NEW_FILE, 0644, 0) < 0 || renameat(dirfd, NEW_FILE, dirfd, name) < 0))
        r = -errno;
    return r;
}

static int apply(Directory *d, const PlaceChange *change)
{
    const char *name = "";
    _cleanup_(closep) int dirfd = open_folder(d, change->key, change->text, &name);
    int r = 0;

    if (dirfd < 0)
        return dirfd == -ENOENT && !change->text ? 0 : dirfd;
    if (change->text)
        r = write_value(dirfd, name, change->text);
    else if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        r = -errno;
    return r == 0 ? io_sync_dir(dirfd) : r;
}

static int directory_change(Place *place, const PlaceChange *changes, size_t n)
{
    Directory *d = directory_of(place);
    _cleanup_(closep) int lock =
        openat(d->fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    int r = 0;

    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return -errno;
    for (size_t i = 0; i < n && r == 0; i++)
        r = check_version(d, &changes[i]);
    for (size_t i = 0; i < n && r == 0; i++)
        r = apply(d, &changes[i]);
    return r;
}

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int visit(int dirfd, const char *name, bool names_only, PlaceFn fn, void *userdata)
{
    _cleanup_(place_value_done) PlaceValue v = {.size = 0};
    int r = names_only ? 0 : read_value(dirfd, name, &v);

    if (r == -EISDIR || r == -ENOENT)
        return 0;
    return r < 0 ? r : fn(name, names_only ? NULL : &v, userdata);
}

static int directory_list(Place *place, const char *folder, bool names_only, PlaceFn fn,
                          void *userdata)
{
    struct dirent **entries = NULL;
    _cleanup_(closep) int fd =
        openat(directory_of(place)->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int n, r = 0;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    n = scandirat(fd, ".", &entries, is_visible, alphasort);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = visit(fd, entries[i]->d_name, names_only, fn, userdata);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static void directory_free(Place *place)
{
    Directory *d = directory_of(place);

    (void)close(d->fd);
    free(d);
}

int place_open_directory(const char *path, Place **ret)
{
    static const PlaceType type = {.get = directory_get,
                                   .change = directory_change,
                                   .list = directory_list,
                                   .free = directory_free,
                                   .has_presence = false};
    Directory *d = malloc(sizeof(*d));

    if (!d)
        return -ENOMEM;
    *d = (Directory){.place = {&type}, .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (d->fd < 0) {
        int r = -errno;

        free(d);
        return r;
    }
    *ret = &d->place;
    return 0;
}
