/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * The directory of a store and the one file in it. A new state is written to a second file, synced,
 * and renamed over the old one; then the directory is synced.
 */

#define FILE_STORE "store"
/* A state that is being written; never read. */
#define FILE_NEW "store.new"
/* The last state with an unreadable part that a commit has replaced. */
#define FILE_DAMAGED "store.damaged"

/* Opens and locks dir until the descriptor is closed. Returns -ENOENT, -ENOTDIR, -EPERM (not owned
 * by us, or accessible to others), -EBUSY, or an error of open(2). */
int file_lock_dir(const char *dir, int *ret, char **reterr_detail) _must_check_;

/* A range that the disk cannot read. */
typedef struct FileHole {
    size_t start;
    size_t end;
} FileHole;

/* The content of a file. Holes are filled with zeros and listed in ascending order. */
typedef struct FileText {
    char *data;
    size_t size;
    FileHole *holes;
    size_t n_holes;
} FileText;

/* Frees the members of text, which is empty afterwards. */
void file_text_done(FileText *text);

/* Reads the store. Unreadable ranges (EIO) become holes of a few sectors. Returns -ENOENT, -ELOOP
 * or -EINVAL (not a regular file), -EFBIG past STORE_FILE_MAX, -ENOMEM, or an error of open(2) or
 * pread(2). */
int file_read(int dirfd, FileText *ret) _must_check_;

/* True if a non-empty range overlaps a hole. */
bool file_has_hole(const FileText *text, size_t start, size_t end);

/* Returns 1 if a store, or anything with its name, exists, 0 if not, or an error of access(2). */
int file_exists(int dirfd);

/* A state being written. */
typedef struct FileWriter {
    int dirfd;
    int fd;
    char *buffer;
    size_t n;
} FileWriter;

/* Starts to write FILE_NEW, until file_publish() or file_writer_done(). Returns -ENOMEM, or an
 * error of unlink(2) or open(2). */
int file_writer_new(int dirfd, FileWriter *ret) _must_check_;
int file_writer_put(FileWriter *w, const void *data, size_t size) _must_check_;
/* Removes FILE_NEW unless it was published. */
void file_writer_done(FileWriter *w);

/* Makes FILE_NEW the store. An error before the rename leaves the store unchanged. *ret_renamed is
 * true if only the last sync failed: then either state may be on the disk. */
int file_publish(FileWriter *w, bool *ret_renamed) _must_check_;

/* Removes the remains of an interrupted commit, as far as possible. */
void file_sweep(int dirfd);

/* Links the store to FILE_DAMAGED, as far as possible, so that the next commit does not delete an
 * unreadable part that the disk may still give back. */
void file_keep_damaged(int dirfd);
