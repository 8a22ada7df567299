/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs-fixture.h"
#include "tree.h"

Sysfs sysfs_new(void)
{
    Sysfs s = {.dir = "/tmp/test-sysfs-XXXXXX"};

    if (!mkdtemp(s.dir))
        abort();
    return s;
}

void sysfs_done(const Sysfs *s)
{
    tree_remove(s->dir);
}

void sysfs_mkdir(const Sysfs *s, const char *controller, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s/%s", s->dir, controller, name);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        abort();
}

void sysfs_write(const Sysfs *s, const char *controller, const char *attribute, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s/%s", s->dir, controller, attribute);
    if (!text)
        (void)unlink(path);
    f = text ? fopen(path, "we") : NULL;
    if (text && (!f || fputs(text, f) < 0 || fclose(f) != 0))
        abort();
}

void sysfs_put(const Sysfs *s, const char *controller, const char *state, const char *hostnqn,
               const char *subsysnqn, const char *tls_key, const char *tls_configured_key)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", s->dir, controller);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        abort();
    sysfs_write(s, controller, "state", state);
    sysfs_write(s, controller, "hostnqn", hostnqn);
    sysfs_write(s, controller, "subsysnqn", subsysnqn);
    sysfs_write(s, controller, "tls_key", tls_key);
    sysfs_write(s, controller, "tls_configured_key", tls_configured_key);
}

void sysfs_put_live(const Sysfs *s, const char *controller, const char *hostnqn,
                    const char *subsysnqn, int serial)
{
    char text[16];

    snprintf(text, sizeof(text), "%08x\n", (unsigned)serial);
    sysfs_put(s, controller, "live", hostnqn, subsysnqn, text, NULL);
}
