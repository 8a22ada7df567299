/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd-fetch/fetch-inbox.h"

typedef char FileName[FETCH_INBOX_NAME_MAX + sizeof(".reason")];

void fetch_inbox_name(const char *name, uint64_t revision, FetchInboxName ret)
{
    (void)snprintf(ret, sizeof(FetchInboxName), "%.*s.%" PRIu64, FETCH_NAME_MAX, name, revision);
}

static void remove_unfinished(int fd)
{
    _cleanup_(closep) int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    _cleanup_(closedirp) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *e;

    if (!dir)
        return;
    copy = -EBADF;
    while ((e = readdir(dir))) {
        size_t n = strlen(e->d_name);

        if (n > 4 && strcmp(e->d_name + n - 4, ".tmp") == 0)
            (void)unlinkat(fd, e->d_name, 0);
    }
}

int fetch_inbox_open(const char *path, FetchInbox *ret)
{
    _cleanup_(closep) int fd = -EBADF;
    struct stat st;

    if (mkdir(path, 0770) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    /* The umask is for files of ours alone. */
    if (st.st_uid == geteuid() && fchmod(fd, 0770) < 0)
        return -errno;
    remove_unfinished(fd);
    *ret = (FetchInbox){.fd = TAKE_FD(fd)};
    return 0;
}

void fetch_inbox_close(FetchInbox *i)
{
    closep(&i->fd);
    i->fd = -EBADF;
}

int fetch_inbox_put(const FetchInbox *i, const FetchInboxName name, const void *data, size_t size)
{
    FileName tmp;
    int r;

    (void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    r = io_write_file_at(i->fd, tmp, data, size);
    if (r < 0)
        return r;
    /* The reader has our group, and no other right to the file. */
    if (fchmodat(i->fd, tmp, 0640, 0) < 0 || renameat(i->fd, tmp, i->fd, name) < 0) {
        r = -errno;
        (void)unlinkat(i->fd, tmp, 0);
    }
    return r;
}

void fetch_inbox_remove(const FetchInbox *i, const FetchInboxName name)
{
    FileName reason;

    (void)snprintf(reason, sizeof(reason), "%s.reason", name);
    (void)unlinkat(i->fd, name, 0);
    (void)unlinkat(i->fd, reason, 0);
}

FetchInboxState fetch_inbox_look(const FetchInbox *i, const FetchInboxName name,
                                 char reason[static FETCH_REASON_MAX])
{
    FileName file;
    struct stat st;
    int r;

    reason[0] = '\0';
    (void)snprintf(file, sizeof(file), "%s.reason", name);
    r = io_read_line_at(i->fd, file, reason, FETCH_REASON_MAX);
    if (r == 0 && !text_is_printable(reason))
        r = -EBADMSG;
    if (r < 0)
        reason[0] = '\0';
    if (r != -ENOENT)
        return INBOX_REFUSED;
    return fstatat(i->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? INBOX_WAITING : INBOX_TAKEN;
}
