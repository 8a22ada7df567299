/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/controllers.h"

void controller_list_done(ControllerList *l)
{
    free(l->items);
    *l = (ControllerList){NULL, 0};
}

/* Returns 1 for a controller with TLS that is not being deleted, 0 for another one, or the error of
 * reading. */
static int read_controller(int directory, const char *name, Controller *ret)
{
    _cleanup_(closep) int fd = openat(directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    Controller c = {.name = ""};
    char state[32], mode[16];
    int r = fd < 0 ? -errno : 0;

    /* Only connections with TLS have the attribute tls_key. */
    if (r < 0 || (r = attribute_read_serial(fd, "tls_key", &c.tls_key)) < 0 ||
        (r = io_read_line_at(fd, "state", state, sizeof(state))) < 0 ||
        (r = io_read_line_at(fd, "hostnqn", c.hostnqn, sizeof(c.hostnqn))) < 0 ||
        (r = io_read_line_at(fd, "subsysnqn", c.subsysnqn, sizeof(c.subsysnqn))) < 0)
        return attribute_is_gone(r) ? 0 : r;
    if (text_after(state, "deleting") || strcmp(state, "dead") == 0)
        return 0;
    (void)attribute_read_serial(fd, "tls_configured_key", &c.tls_configured_key);
    if (io_read_line_at(fd, "address", c.address, sizeof(c.address)) < 0)
        c.address[0] = '\0';
    c.generates =
        io_read_line_at(fd, "tls_mode", mode, sizeof(mode)) == 0 && strcmp(mode, "concat") == 0;
    snprintf(c.name, sizeof(c.name), "%s", name);
    c.live = strcmp(state, "live") == 0;
    *ret = c;
    return 1;
}

static int append(ControllerList *list, const Controller *c)
{
    Controller *grown = reallocarray(list->items, list->n + 1, sizeof(*list->items));

    if (!grown)
        return -ENOMEM;
    list->items = grown;
    list->items[list->n++] = *c;
    return 0;
}

int controllers_read(const char *directory, ControllerList *ret)
{
    _cleanup_(controller_list_done) ControllerList list = {NULL, 0};
    _cleanup_(closedirp) DIR *d = opendir(directory);
    const struct dirent *e;
    Controller c;
    int r = 0;

    *ret = list;
    if (!d)
        return errno == ENOENT ? 0 : -errno;
    for (errno = 0; r >= 0 && (e = readdir(d)); errno = 0) {
        if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(c.name))
            continue;
        r = read_controller(dirfd(d), e->d_name, &c);
        if (r > 0)
            r = append(&list, &c);
    }
    if (r < 0 || errno != 0)
        return r < 0 ? r : -errno;
    *ret = list;
    list = (ControllerList){NULL, 0};
    return 0;
}

bool controller_uses(const Controller *c, int32_t serial)
{
    return c->tls_key == serial;
}

bool controller_is_pinned(const Controller *c, int32_t serial)
{
    return !c->generates && c->tls_configured_key == serial;
}

bool controller_looks_for(const Controller *c, const PskIdentity *identity)
{
    return !c->generates && c->tls_configured_key == 0 &&
           nqn_equals(c->hostnqn, strlen(c->hostnqn), identity->hostnqn,
                      identity->hostnqn_length) &&
           nqn_equals(c->subsysnqn, strlen(c->subsysnqn), identity->subsysnqn,
                      identity->subsysnqn_length);
}
