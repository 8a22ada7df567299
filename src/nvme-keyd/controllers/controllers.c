/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/io.h"
#include "basic/text.h"
#include "nvme-keyd/controllers/controllers.h"

void controller_list_done(ControllerList *l)
{
    free(l->items);
    *l = (ControllerList){NULL, 0};
}

static int read_attribute(const char *directory, const char *name, const char *attribute, char *ret,
                          size_t size)
{
    _cleanup_(freep) char *path = NULL;

    if (asprintf(&path, "%s/%s/%s", directory, name, attribute) < 0)
        return -ENOMEM;
    return io_read_line(path, ret, size);
}

/* The kernel prints eight hexadecimal digits, and an empty line or nothing without a key. Anything
 * else counts as an unknown key: 0. Returns 0, or the error of reading. */
static int read_serial(const char *directory, const char *name, const char *attribute, int32_t *ret)
{
    char text[16], *end;
    unsigned long serial;
    int r = read_attribute(directory, name, attribute, text, sizeof(text));

    *ret = 0;
    if (r < 0)
        return r == -ENODATA || r == -ENOBUFS ? 0 : r;
    serial = strtoul(text, &end, 16);
    if (*end == '\0' && serial <= INT32_MAX)
        *ret = (int32_t)serial;
    return 0;
}

/* True if a controller or one of its attributes does not exist, or has just vanished. */
static bool is_gone(int error)
{
    return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -ENOTDIR ||
           error == -ENODATA;
}

/* Returns 1 for a controller with TLS that is not being deleted, 0 for another one, or the error of
 * reading. */
static int read_controller(const char *directory, const char *name, Controller *ret)
{
    Controller c = {.name = ""};
    char state[32], mode[16];
    int r;

    /* Only connections with TLS have this attribute. */
    if ((r = read_serial(directory, name, "tls_key", &c.tls_key)) < 0 ||
        (r = read_attribute(directory, name, "state", state, sizeof(state))) < 0 ||
        (r = read_attribute(directory, name, "hostnqn", c.hostnqn, sizeof(c.hostnqn))) < 0 ||
        (r = read_attribute(directory, name, "subsysnqn", c.subsysnqn, sizeof(c.subsysnqn))) < 0)
        return is_gone(r) ? 0 : r;
    if (text_after(state, "deleting") || strcmp(state, "dead") == 0)
        return 0;
    (void)read_serial(directory, name, "tls_configured_key", &c.tls_configured_key);
    (void)read_attribute(directory, name, "address", c.address, sizeof(c.address));
    c.generates = read_attribute(directory, name, "tls_mode", mode, sizeof(mode)) == 0 &&
                  strcmp(mode, "concat") == 0;
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
        r = read_controller(directory, e->d_name, &c);
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
