/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/macro.h"

/* Microseconds of CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME. */
uint64_t now_monotonic(void);
uint64_t now_realtime(void);
uint64_t now_boottime(void);

/* Waits until fd is ready for events (poll(2)); deadline_usec is CLOCK_MONOTONIC, 0 for none.
 * Returns 0, -ETIMEDOUT, or the error of poll(2). */
int io_wait(int fd, short events, uint64_t deadline_usec) _must_check_;

/* Writes all of data. Returns 0 or the error of write(2). */
int io_write_all(int fd, const void *data, size_t size) _must_check_;

/* Reads the first line of a small text file, which may be a symbolic link to one, without blanks
 * around it, as a NUL-terminated string of at most size - 1 bytes. Not for secrets. Returns
 * -ENODATA for an empty line, -ENOBUFS for a longer one, -EFBIG past 4096 bytes in the file,
 * -EINVAL (not a regular file), or the error of open(2) or read(2). */
int io_read_line(const char *path, char *ret, size_t size) _must_check_;
/* Same, for a path below a directory. */
int io_read_line_at(int dirfd, const char *path, char *ret, size_t size) _must_check_;

/* Reads until size bytes are there or the input ends. Returns 0 and the number of bytes, or the
 * error of read(2). */
int io_read_up_to(int fd, void *ret, size_t size, size_t *ret_size) _must_check_;

/* Reads a text file, which may be one of sysfs or proc, as a NUL-terminated string of at most
 * size - 1 bytes. Not for secrets. Returns -EFBIG for a longer one, -EINVAL (not a regular file),
 * or the error of open(2) or read(2). */
int io_read_text_at(int dirfd, const char *path, char *ret, size_t size) _must_check_;

/* Creates name below dirfd with mode 0600, writes data and syncs it. Unlinks an older file of that
 * name first, and the new one if writing fails. Renames nothing. */
int io_write_file_at(int dirfd, const char *name, const void *data, size_t size) _must_check_;

/* Syncs a directory, so that renames and removals in it are on the disk. */
int io_sync_dir(int dirfd) _must_check_;
