/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/detail.h"
#include "basic/names.h"
#include "basic/text.h"
#include "nvme-keyd/envelopes/issuers.h"

const char *issuer_source_to_string(IssuerSource source)
{
    static const char *const words[] = {"store", "configuration", "credential"};

    return words[source];
}

void issuer_files_done(const IssuerFiles *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->items[i].name);
        free(f->items[i].text);
    }
}

bool issuer_is_credential(const char *name)
{
    const char *rest = text_after(name, NAMES_ISSUER_CREDENTIAL);

    return rest && (*rest == '\0' || *rest == '.');
}

static bool is_wanted(const char *name, IssuerSource source)
{
    size_t n = strlen(name);

    if (!text_is_printable(name))
        return false;
    if (source == ISSUER_CREDENTIAL)
        return issuer_is_credential(name);
    return name[0] != '.' && n > strlen(".pem") && strcmp(name + n - strlen(".pem"), ".pem") == 0;
}

static bool is_known(const IssuerFiles *f, IssuerSource source, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->items[i].source == source && strcmp(f->items[i].name, name) == 0)
            return true;
    return false;
}

/* Anything but a regular file, a link to /dev/null for example, counts as an empty one. */
static int read_text(int dirfd, const char *name, char **ret, size_t *ret_size)
{
    _cleanup_(closep) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    *ret = calloc(1, ISSUER_SIZE_MAX + 1);
    if (!*ret)
        return -ENOMEM;
    n = S_ISREG(st.st_mode) ? read(fd, *ret, ISSUER_SIZE_MAX + 1) : 0;
    if (n < 0)
        return -errno;
    *ret_size = (size_t)n;
    return *ret_size > ISSUER_SIZE_MAX ? -EFBIG : 0;
}

static int read_file(int dirfd, const char *name, IssuerSource source, IssuerFiles *f)
{
    IssuerFile *item = &f->items[f->n];

    if (f->n == ISSUER_FILES_MAX)
        return -E2BIG;
    *item = (IssuerFile){.source = source, .name = strdup(name)};
    f->n++;
    return item->name ? read_text(dirfd, name, &item->text, &item->size) : -ENOMEM;
}

static int read_directory(const char *path, IssuerSource source, IssuerFiles *f,
                          char **reterr_detail)
{
    _cleanup_(closedirp) DIR *dir = opendir(path);
    const struct dirent *e;

    if (!dir)
        return errno == ENOENT
                   ? 0
                   : detail_set(reterr_detail, -errno, "cannot read %s: %s", path, strerror(errno));
    while (errno = 0, (e = readdir(dir))) {
        int r = is_wanted(e->d_name, source) && !is_known(f, source, e->d_name)
                    ? read_file(dirfd(dir), e->d_name, source, f)
                    : 0;

        if (r < 0)
            return detail_set(reterr_detail, r, "cannot read the issuer %s/%s: %s", path, e->d_name,
                              r == -E2BIG   ? "there are too many"
                              : r == -EFBIG ? "it is too large for a certificate"
                                            : strerror(-r));
    }
    return -errno;
}

/* Files that mask others are no issuers. */
static void drop_empty(IssuerFiles *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        if (f->items[i].size > 0) {
            f->items[n++] = f->items[i];
            continue;
        }
        free(f->items[i].name);
        free(f->items[i].text);
    }
    f->n = n;
}

int issuer_files_read(IssuerFiles *ret, char **reterr_detail)
{
    static const char *const directories[] = {NAMES_CONFIG_DIRECTORIES};
    static const char *const credentials[] = {"CREDENTIALS_DIRECTORY", NAMES_ENV_CREDENTIALS};
    const char *own = secure_getenv(NAMES_ENV_ISSUERS);
    int r = own ? read_directory(own, ISSUER_CONFIGURATION, ret, reterr_detail) : 0;

    for (size_t i = 0; i < ARRAY_SIZE(directories) && r == 0 && !own; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "%s/issuers.d", directories[i]);
        r = read_directory(path, ISSUER_CONFIGURATION, ret, reterr_detail);
    }
    for (size_t i = 0; i < ARRAY_SIZE(credentials) && r == 0; i++) {
        const char *path = secure_getenv(credentials[i]);

        r = path ? read_directory(path, ISSUER_CREDENTIAL, ret, reterr_detail) : 0;
    }
    drop_empty(ret);
    return r;
}
