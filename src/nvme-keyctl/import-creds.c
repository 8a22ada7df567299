/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "basic/detail.h"
#include "basic/names.h"
#include "credstore/seal/creds/blob.h"
#include "credstore/seal/creds/creds.h"
#include "nvme-keyctl/import-read.h"
#include "psk/limits.h"

/* A PSK, with a newline and blanks that an editor has left. */
#define CONTENT_MAX (PSK_INTERCHANGE_MAX + 64)

static int read_blob(const char *name, Secret **ret)
{
    const char *dir = secure_getenv(NAMES_ENV_NVME_CREDENTIALS);
    _cleanup_(closep) int dirfd = -EBADF, fd = -EBADF;

    dirfd = open(dir ? dir : NAMES_NVME_CREDENTIALS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : secret_read_fd(fd, CREDS_TEXT_MAX, 0, ret);
}

/* systemd-creds breaks its lines; its Varlink service reads one. */
static char *join_lines(const Secret *blob)
{
    char *joined = malloc(blob->size + 1), *p = joined;

    for (size_t i = 0; joined && i < blob->size; i++)
        if (blob->data[i] > ' ' && blob->data[i] < 0x7f)
            *p++ = (char)blob->data[i];
    if (joined)
        *p = '\0';
    return joined;
}

int import_open_credential(const char *name, Secret **ret, char **reterr_detail)
{
    _cleanup_(secret_freep) Secret *blob = NULL;
    _cleanup_(freep) char *credential = NULL, *why = NULL;
    Creds creds = creds_of_system();
    int r = read_blob(name, &blob);

    if (r < 0 || !blob)
        return detail_set(reterr_detail, r,
                          "cannot read the credential %s in " NAMES_NVME_CREDENTIALS ": %s", name,
                          strerror(-r));
    credential = join_lines(blob);
    if (!credential)
        return -ENOMEM;
    r = creds_open(&creds, name, credential, CONTENT_MAX, ret, &why);
    return r < 0 ? detail_set(reterr_detail, r, "cannot open the credential %s: %s", name,
                              why ? why : strerror(-r))
                 : 0;
}
