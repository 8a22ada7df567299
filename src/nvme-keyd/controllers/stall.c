/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/io.h"
#include "basic/limits.h"
#include "nvme-keyd/controllers/attribute.h"
#include "nvme-keyd/controllers/counters.h"
#include "nvme-keyd/controllers/limits.h"
#include "nvme-keyd/controllers/stall.h"

void stalls_done(Stalls *s)
{
    free(s->items);
    *s = (Stalls){NULL, 0};
}

static const StallDevice *find(const Stalls *s, uint64_t inode, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].inode == inode && strcmp(s->items[i].name, name) == 0)
            return &s->items[i];
    return NULL;
}

static int append(Stalls *s, const StallDevice *d)
{
    StallDevice *grown = reallocarray(s->items, s->n + 1, sizeof(*s->items));

    if (!grown)
        return -ENOMEM;
    s->items = grown;
    s->items[s->n++] = *d;
    return 0;
}

/* A device that cannot be read is about to vanish. */
static int sample_device(Stalls *s, const Stalls *before, int fd, const Controller *c,
                         const char *name, uint64_t now_usec)
{
    char path[NAME_MAX + 8], text[256];
    const StallDevice *old;
    BlockRequests requests;
    StallDevice d = {.since_usec = now_usec};
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/stat", name);
    if (fstat(fd, &st) < 0 || io_read_line_at(fd, path, text, sizeof(text)) < 0 ||
        block_requests_parse(text, strlen(text), &requests) < 0)
        return 0;
    (void)snprintf(d.name, sizeof(d.name), "%s", name);
    strcpy(d.controller, c->name);
    strcpy(d.hostnqn, c->hostnqn);
    strcpy(d.subsysnqn, c->subsysnqn);
    d.inode = st.st_ino;
    d.completed = requests.completed;
    old = find(before, d.inode, d.name);
    if (requests.in_flight == 0) {
        d.since_usec = 0;
    } else if (old && old->since_usec > 0 && old->completed == d.completed) {
        d.since_usec = old->since_usec;
        d.stalled = now_usec - d.since_usec >= STALLED_USEC;
        d.logged = old->logged;
    }
    return append(s, &d);
}

static int sample_controller(Stalls *s, const Stalls *before, const char *directory,
                             const Controller *c, uint64_t now_usec)
{
    _cleanup_(freep) char *path = NULL;
    _cleanup_(closedirp) DIR *d = NULL;
    const struct dirent *e;
    int r = 0;

    if (asprintf(&path, "%s/%s", directory, c->name) < 0)
        return -ENOMEM;
    d = opendir(path);
    while (r == 0 && d && (e = readdir(d)))
        if (attribute_is_namespace(e->d_name))
            r = sample_device(s, before, dirfd(d), c, e->d_name, now_usec);
    return r;
}

int stalls_sample(Stalls *s, const char *directory, const ControllerList *l, uint64_t now_usec)
{
    _cleanup_(stalls_done) Stalls now = {NULL, 0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->n; i++)
        if (l->items[i].live)
            r = sample_controller(&now, s, directory, &l->items[i], now_usec);
    if (r < 0)
        return r;
    stalls_done(s);
    *s = now;
    now = (Stalls){NULL, 0};
    return 0;
}

bool stalls_has(const Stalls *s, const char *controller)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].stalled && strcmp(s->items[i].controller, controller) == 0)
            return true;
    return false;
}

const StallDevice *stalls_next(Stalls *s)
{
    const StallDevice *found = NULL;

    for (size_t i = 0; i < s->n; i++) {
        StallDevice *d = &s->items[i];

        if (!found && d->stalled && !d->logged)
            found = d;
        if (found && strcmp(d->controller, found->controller) == 0)
            d->logged = true;
    }
    return found;
}
