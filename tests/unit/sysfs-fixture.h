/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory that looks like /sys/class/nvme. All of these abort() on errors. */
typedef struct Sysfs {
    char dir[32];
} Sysfs;

/* Makes an empty one; sysfs_done() removes it. */
Sysfs sysfs_new(void);
void sysfs_done(const Sysfs *s);

/* Adds or changes a controller. An attribute that is NULL is missing. */
void sysfs_put(const Sysfs *s, const char *controller, const char *state, const char *hostnqn,
               const char *subsysnqn, const char *tls_key, const char *tls_configured_key);
/* As above, for a controller that uses the key with this serial. */
void sysfs_put_live(const Sysfs *s, const char *controller, const char *hostnqn,
                    const char *subsysnqn, int serial);
/* Adds a directory below a controller, or below the directory itself for "". */
void sysfs_mkdir(const Sysfs *s, const char *controller, const char *name);
/* Changes one attribute of a controller, or of what is below it: "nvme0n1/stat". */
void sysfs_write(const Sysfs *s, const char *controller, const char *attribute, const char *text);
