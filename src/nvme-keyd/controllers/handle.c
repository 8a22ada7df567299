/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/handle.h"

int controller_open(const char *directory, const char *name, uint64_t inode, int *ret_fd)
{
    _cleanup_(freep) char *path = NULL;
    _cleanup_(closep) int fd = -EBADF;
    struct stat st;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return -ENOMEM;
    /* In sysfs the name is a symbolic link. */
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (inode != 0 && st.st_ino != inode)
        return -ESTALE;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Leaves ret empty if there is no printable line. */
static void read_text(int fd, const char *attribute, char *ret, size_t size)
{
    if (io_read_line_at(fd, attribute, ret, size) < 0 || !text_is_printable(ret))
        ret[0] = '\0';
}

static int read_state(int fd, char *ret, size_t size)
{
    int r = io_read_line_at(fd, "state", ret, size);

    return attribute_is_gone(r) ? -ENODEV : r;
}

int controller_read_details(int fd, ControllerDetails *ret)
{
    ControllerDetails d = {.cntlid = -1};
    char cntlid[16], *end;
    struct stat st;
    int r = read_state(fd, d.state, sizeof(d.state));

    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return -errno;
    d.inode = st.st_ino;
    read_text(fd, "transport", d.transport, sizeof(d.transport));
    if (io_read_line_at(fd, "cntlid", cntlid, sizeof(cntlid)) == 0) {
        unsigned long n = strtoul(cntlid, &end, 10);

        d.cntlid = *end == '\0' && n <= UINT16_MAX ? (int32_t)n : -1;
    }
    *ret = d;
    return 0;
}

int controller_read_now(int fd, ControllerNow *ret)
{
    ControllerNow now = {.live = false};
    int r = read_state(fd, now.state, sizeof(now.state));

    if (r == 0)
        r = attribute_read_serial(fd, "tls_key", &now.tls_key);
    if (r < 0)
        return attribute_is_gone(r) ? -ENODEV : r;
    now.live = strcmp(now.state, "live") == 0;
    *ret = now;
    return 0;
}

int controller_reset(int fd)
{
    _cleanup_(closep) int attribute = openat(fd, "reset_controller", O_WRONLY | O_CLOEXEC);

    if (attribute < 0 || write(attribute, "1", 1) < 0)
        return attribute_is_gone(-errno) ? -ENODEV : -errno;
    return 0;
}
