/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/*
 * The directory of a store and the one file in it. A new state is written aside, synced, and
 * renamed over the old one, and then the directory is synced.
 */

#define FILE_STORE "store"
/* A state that is being written. Nothing reads it. */
#define FILE_NEW "store.new"
/* The last state with a part that the disk could not read, which a commit has replaced since. */
#define FILE_DAMAGED "store.damaged"

/* Opens dir and locks it, until the descriptor is closed. Returns -ENOENT, -ENOTDIR, -EPERM (not
 * owned by us, or others have access), -EBUSY, or an error of open(2). */
int file_lock_dir(const char *dir, int *ret, char **reterr_detail) _must_check_;

/* A part that the disk cannot read. */
typedef struct FileHole {
    size_t start;
    size_t end;
} FileHole;

/* What is in a file. Holes are filled with zeros and listed in ascending order. */
typedef struct FileText {
    char *data;
    size_t size;
    FileHole *holes;
    size_t n_holes;
} FileText;

/* Frees what text owns, and leaves it empty. */
void file_text_done(FileText *text);

/* Reads the store. What the disk cannot read (EIO) becomes a hole of a few sectors. Returns
 * -ENOENT, -ELOOP or -EINVAL (no regular file), -EFBIG past STORE_FILE_MAX, -ENOMEM, or an error of
 * open(2) or pread(2). */
int file_read(int dirfd, FileText *ret) _must_check_;

/* True when a part of it that is not empty overlaps a hole. */
bool file_has_hole(const FileText *text, size_t start, size_t end);

/* Whether there is a store, or anything in its place. Returns 1, 0, or an error of access(2). */
int file_exists(int dirfd);

/* A state on its way to the disk. */
typedef struct FileWriter {
    int dirfd;
    int fd;
    char *buffer;
    size_t n;
} FileWriter;

/* Starts to write FILE_NEW. To be ended by file_publish() or file_writer_done(). Returns -ENOMEM,
 * or an error of unlink(2) or open(2). */
int file_writer_new(int dirfd, FileWriter *ret) _must_check_;
int file_writer_put(FileWriter *w, const void *data, size_t size) _must_check_;
/* Removes FILE_NEW unless it was published. */
void file_writer_done(FileWriter *w);

/* Makes it the store. On an error before the renaming the store is as it was. *ret_renamed is true
 * where only the last sync has failed: then nobody can tell which of the two the disk has. */
int file_publish(FileWriter *w, bool *ret_renamed) _must_check_;

/* Removes what a commit that was cut off has left, as far as it can. */
void file_sweep(int dirfd);

/* Gives the store a second name, so that what the disk cannot read now is not gone with the next
 * commit. As far as it can. */
void file_keep_damaged(int dirfd);
