/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Removes a file, or a directory with all that is in it, or nothing if path is "". */
void tree_remove(const char *path);

/* Reads a file. The data have a NUL after them, and the caller frees them. Returns 0 or the error
 * of open(2) or read(2). */
int tree_read(const char *path, char **ret, size_t *ret_size);

/* Makes to, which must not exist, a copy of the directory from, without a sync. Returns 0 or -EIO.
 */
int tree_copy(const char *from, const char *to);
