/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "nvme-keyd/authorize.h"

int authorize_peer(int fd, const struct ucred *peer, void *userdata)
{
    gid_t groups[256], own = getegid();
    socklen_t size = sizeof(groups);

    (void)userdata;
    if (peer->uid == 0)
        return 0;
    if (own == 0)
        return -EACCES;
    if (peer->gid == own)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return -EACCES;
    for (size_t i = 0; i < size / sizeof(groups[0]); i++)
        if (groups[i] == own)
            return 0;
    return -EACCES;
}
