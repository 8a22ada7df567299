/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/io.h"
#include "psk/hostnqn.h"
#include "psk/limits.h"

static const char *error_text(int error)
{
    switch (error) {
    case -ENOENT:
        return "it is not there";
    case -ENODATA:
        return "it is empty";
    case -ENOBUFS:
    case -EFBIG:
        return "it is too long for an NQN";
    case -EINVAL:
        return "it is no regular file";
    default:
        return strerror(-error);
    }
}

int hostnqn_read(char ret[static NQN_LENGTH_MAX + 2], char **reterr_detail)
{
    int r = io_read_line(NAMES_HOSTNQN_FILE, ret, NQN_LENGTH_MAX + 2);

    if (r < 0 && asprintf(reterr_detail, "none in " NAMES_HOSTNQN_FILE " (%s): " HOSTNQN_ADVICE,
                          error_text(r)) < 0)
        *reterr_detail = NULL;
    return r;
}
