/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "basic/macro.h"

/* The text of a file that may hold secrets, in memory that is neither swapped, as far as the limits
 * of the process allow, nor dumped, and is wiped. */
typedef struct TextFile {
    char *text;
    size_t size;
    size_t room; /* mapped */
} TextFile;

void text_file_done(TextFile *t);

/* Reads fd, which may be a pipe and non-blocking, to its end, at most max bytes. The caller
 * releases *ret with text_file_done(). Returns -EFBIG for more, -ENOMEM, or the error of read(2).
 */
int text_file_read(int fd, size_t max, TextFile *ret) _must_check_;

/* Appends to a text, which may be empty. Returns -ENOMEM. */
int text_file_append(TextFile *t, const char *text, size_t size) _must_check_;
