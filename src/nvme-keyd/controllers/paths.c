/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/paths.h"
#include "psk/limits.h"

/* A namespace without the attribute is not one of several paths, or its target reports no state. */
static bool namespace_is_usable(int controller, const char *name)
{
    _cleanup_(closep) int fd = openat(controller, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char state[32];

    if (fd < 0 || io_read_line_at(fd, "ana_state", state, sizeof(state)) < 0)
        return true;
    return strcmp(state, "optimized") == 0 || strcmp(state, "non-optimized") == 0;
}

static bool takes_requests(int fd)
{
    _cleanup_(closedirp) DIR *d = NULL;
    const struct dirent *e;
    char state[32];

    if (io_read_line_at(fd, "state", state, sizeof(state)) < 0 || strcmp(state, "live") != 0)
        return false;
    d = attribute_open_dir(fd, ".");
    if (!d)
        return false;
    while ((e = readdir(d)))
        if (attribute_is_namespace(e->d_name) && !namespace_is_usable(fd, e->d_name))
            return false;
    return true;
}

/* Returns the descriptor of a controller of this subsystem, or -1. */
static int open_path(int directory, const char *name, const char *subsysnqn)
{
    _cleanup_(closep) int fd = openat(directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char nqn[NQN_LENGTH_MAX + 1], state[32];

    if (fd < 0 || io_read_line_at(fd, "subsysnqn", nqn, sizeof(nqn)) < 0 ||
        strcmp(nqn, subsysnqn) != 0 || io_read_line_at(fd, "state", state, sizeof(state)) < 0 ||
        text_after(state, "deleting") || strcmp(state, "dead") == 0)
        return -EBADF;
    return TAKE_FD(fd);
}

int controller_count_paths(const char *directory, const char *name, const char *subsysnqn,
                           ControllerPaths *ret)
{
    _cleanup_(closedirp) DIR *d = opendir(directory);
    ControllerPaths paths = {0, 0};
    const struct dirent *e;

    if (!d)
        return -errno;
    while ((errno = 0, e = readdir(d))) {
        _cleanup_(closep) int fd =
            e->d_name[0] == '.' ? -EBADF : open_path(dirfd(d), e->d_name, subsysnqn);

        paths.all += fd >= 0;
        paths.others += fd >= 0 && strcmp(e->d_name, name) != 0 && takes_requests(fd);
    }
    if (errno != 0)
        return -errno;
    *ret = paths;
    return 0;
}
