/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* Attributes of a controller in sysfs and debugfs. */

/* True for an error that means that a controller or one of its attributes does not exist, or has
 * just vanished. */
bool attribute_is_gone(int error);

/* Reads the serial of a key. The kernel prints eight hexadecimal digits, and an empty line or
 * nothing without a key. Anything else counts as an unknown key: 0. Returns 0, or the error of
 * reading. */
int attribute_read_serial(int dirfd, const char *path, int32_t *ret);

/* True for the name of a block device of a controller: "nvme0n1", or "nvme0c1n1" for one that is a
 * path to a namespace. */
bool attribute_is_namespace(const char *name);

/* Opens a directory below another one for reading. Returns NULL and errno. */
DIR *attribute_open_dir(int dirfd, const char *name);
