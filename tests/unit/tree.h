/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Removes a file, or a directory with all that is in it, or nothing if path is "". */
void tree_remove(const char *path);

/* Makes to, which must not exist, a copy of the directory from, without a sync. Returns 0 or -EIO.
 */
int tree_copy(const char *from, const char *to);
