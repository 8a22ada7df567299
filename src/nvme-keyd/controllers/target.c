/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "basic/io.h"
#include "basic/scan.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/target.h"

void target_host_list_done(TargetHostList *l)
{
    free(l->items);
    *l = (TargetHostList){NULL, 0};
}

/* "ctrl" and the id of a controller. */
static bool parse_name(const char *name, int32_t *ret)
{
    Scan s = {name, name + strlen(name)};
    uint64_t id;

    if (!scan_literal(&s, "ctrl") || !scan_number(&s, UINT16_MAX, &id) || s.p != s.end)
        return false;
    *ret = (int32_t)id;
    return true;
}

/* Returns 1 for a host with TLS, 0 for one without or that is gone, -EOPNOTSUPP, or the error of
 * reading. */
static int read_host(int subsystem, const char *name, TargetHost *ret)
{
    _cleanup_(closep) int fd = openat(subsystem, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -errno : io_read_line_at(fd, "hostnqn", ret->hostnqn, sizeof(ret->hostnqn));

    if (r < 0)
        return attribute_is_gone(r) ? 0 : r;
    r = attribute_read_serial(fd, "tls_key", &ret->tls_key);
    if (r == -ENOENT)
        return faccessat(fd, "hostnqn", F_OK, 0) == 0 ? -EOPNOTSUPP : 0;
    if (r < 0)
        return attribute_is_gone(r) ? 0 : r;
    if (io_read_line_at(fd, "host_traddr", ret->address, sizeof(ret->address)) < 0 ||
        !text_is_printable(ret->address))
        ret->address[0] = '\0';
    return ret->tls_key != 0;
}

static int append(TargetHostList *l, const TargetHost *h)
{
    TargetHost *grown = reallocarray(l->items, l->n + 1, sizeof(*l->items));

    if (!grown)
        return -ENOMEM;
    l->items = grown;
    l->items[l->n++] = *h;
    return 0;
}

static int read_subsystem(int directory, const char *name, TargetHostList *l)
{
    _cleanup_(closedirp) DIR *d = attribute_open_dir(directory, name);
    const struct dirent *e;
    int r = 0;

    if (!d)
        return attribute_is_gone(-errno) ? 0 : -errno;
    while (r >= 0 && (e = readdir(d))) {
        TargetHost h = {.tls_key = 0};

        if (!parse_name(e->d_name, &h.cntlid))
            continue;
        (void)snprintf(h.subsysnqn, sizeof(h.subsysnqn), "%s", name);
        r = read_host(dirfd(d), e->d_name, &h);
        if (r > 0)
            r = append(l, &h);
    }
    return r;
}

int target_hosts_read(const char *directory, TargetHostList *ret)
{
    _cleanup_(target_host_list_done) TargetHostList list = {NULL, 0};
    _cleanup_(closedirp) DIR *d = opendir(directory);
    const struct dirent *e;
    int r = 0;

    if (!d)
        return -errno;
    while (r >= 0 && (e = readdir(d)))
        if (e->d_name[0] != '.' && strlen(e->d_name) <= NQN_LENGTH_MAX)
            r = read_subsystem(dirfd(d), e->d_name, &list);
    if (r < 0)
        return r;
    *ret = list;
    list = (TargetHostList){NULL, 0};
    return 0;
}
