/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "basic/detail.h"
#include "credstore/dirs.h"
#include "credstore/header.h"

#define RECORD_NAME_LENGTH (STORE_ID_SIZE - 1 + sizeof(".json") - 1)

void dirs_done(StoreDirs *dirs)
{
    closep(&dirs->records);
    closep(&dirs->index);
    closep(&dirs->root);
    *dirs = (StoreDirs){-EBADF, -EBADF, -EBADF};
}

static int open_root(const char *dir, int *ret, char **reterr_detail)
{
    _cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int error = -errno;

        return detail_set(reterr_detail, error, "%s: %s", dir, strerror(-error));
    }
    if (st.st_uid != geteuid())
        return detail_set(reterr_detail, -EPERM, "%s belongs to uid %u, not to %u", dir, st.st_uid,
                          geteuid());
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return detail_set(reterr_detail, -EPERM, "%s has mode %04o, not 0700: others have access",
                          dir, st.st_mode & 07777u);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno == EWOULDBLOCK ? -EBUSY : -errno;

        return detail_set(reterr_detail, error, "%s: %s", dir,
                          error == -EBUSY ? "another process has the store open"
                                          : strerror(-error));
    }

    *ret = TAKE_FD(fd);
    return 0;
}

static int open_subdirectory(const char *dir, int root, const char *name, int *ret,
                             char **reterr_detail)
{
    int fd, error = 0;
    bool read_only = false;

    if (mkdirat(root, name, 0700) < 0 && errno != EEXIST) {
        read_only = errno == EROFS;
        error = read_only ? 0 : -errno;
    }
    fd = error == 0 ? openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -EBADF;
    if (error == 0 && fd < 0)
        error = -errno;
    /* What cannot be made need not be there. */
    if (error == -ENOENT && read_only)
        error = -EROFS;
    if (error < 0)
        return detail_set(reterr_detail, error, "%s/%s: %s", dir, name, strerror(-error));
    *ret = fd;
    return 0;
}

int dirs_open(const char *dir, StoreDirs *ret, char **reterr_detail)
{
    _cleanup_(dirs_done) StoreDirs dirs = {-EBADF, -EBADF, -EBADF};
    int r = open_root(dir, &dirs.root, reterr_detail);

    if (r < 0)
        return r;
    r = open_subdirectory(dir, dirs.root, "index", &dirs.index, reterr_detail);
    if (r < 0)
        return r;
    r = open_subdirectory(dir, dirs.root, "records", &dirs.records, reterr_detail);
    if (r < 0)
        return r;

    *ret = dirs;
    dirs = (StoreDirs){-EBADF, -EBADF, -EBADF};
    return 0;
}

/* The value of length lower-case hex digits. */
static bool parse_hex(const char *s, size_t length, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < length; i++) {
        if (s[i] >= '0' && s[i] <= '9')
            v = v << 4 | (uint64_t)(s[i] - '0');
        else if (s[i] >= 'a' && s[i] <= 'f')
            v = v << 4 | (uint64_t)(s[i] - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

bool record_id_parse(const char *s, uint64_t *ret)
{
    return strlen(s) == STORE_ID_SIZE - 1 && parse_hex(s, STORE_ID_SIZE - 1, ret);
}

void record_id_format(uint64_t id, char ret[static STORE_ID_SIZE])
{
    snprintf(ret, STORE_ID_SIZE, "%016" PRIx64, id);
}

void dirs_record_name(uint64_t id, const char *suffix, char ret[static DIRS_NAME_SIZE])
{
    snprintf(ret, DIRS_NAME_SIZE, "%016" PRIx64 ".json%s", id, suffix);
}

void dirs_shard_name(unsigned shard, const char *suffix, char ret[static DIRS_NAME_SIZE])
{
    snprintf(ret, DIRS_NAME_SIZE, "%02x.json%s", shard, suffix);
}

static bool ends_json(const char *rest, const char *suffix)
{
    return strncmp(rest, ".json", 5) == 0 && strcmp(rest + 5, suffix) == 0;
}

bool dirs_parse_record_name(const char *name, const char *suffix, uint64_t *ret)
{
    return strlen(name) >= RECORD_NAME_LENGTH && ends_json(name + STORE_ID_SIZE - 1, suffix) &&
           parse_hex(name, STORE_ID_SIZE - 1, ret);
}

bool dirs_parse_shard_name(const char *name, const char *suffix, unsigned *ret)
{
    uint64_t v;

    if (strlen(name) < 2 || !ends_json(name + 2, suffix) || !parse_hex(name, 2, &v) ||
        v >= STORE_SHARDS)
        return false;
    *ret = (unsigned)v;
    return true;
}

int dirs_scan(int dirfd, DirsVisit visit, void *userdata)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        int error = -errno;

        closep(&fd);
        return error;
    }
    for (;;) {
        struct dirent *e;
        int r;

        errno = 0;
        e = readdir(d);
        if (!e)
            return -errno;
        r = visit(dirfd, e->d_name, userdata);
        if (r != 0)
            return r;
    }
}

static int sweep(int dirfd, const char *name, _unused_ void *userdata)
{
    uint64_t id;
    unsigned shard;

    if (dirs_parse_record_name(name, DIRS_NEW, &id) ||
        dirs_parse_shard_name(name, DIRS_NEW, &shard))
        (void)unlinkat(dirfd, name, 0);
    return 0;
}

void dirs_sweep(const StoreDirs *dirs)
{
    (void)unlinkat(dirs->root, DIRS_HEADER DIRS_NEW, 0);
    (void)unlinkat(dirs->root, DIRS_COMMIT DIRS_NEW, 0);
    (void)dirs_scan(dirs->index, sweep, NULL);
    (void)dirs_scan(dirs->records, sweep, NULL);
}

static int find_file(_unused_ int dirfd, const char *name, _unused_ void *userdata)
{
    uint64_t id;
    unsigned shard;

    return dirs_parse_record_name(name, "", &id) || dirs_parse_shard_name(name, "", &shard);
}

bool dirs_has_remains(const StoreDirs *dirs)
{
    return faccessat(dirs->root, DIRS_COMMIT, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
           dirs_scan(dirs->index, find_file, NULL) != 0 ||
           dirs_scan(dirs->records, find_file, NULL) != 0;
}
