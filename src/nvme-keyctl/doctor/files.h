/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "basic/macro.h"

/* Files below a root. Secrets never leave the locked memory through which files are read. */

typedef struct DoctorFile {
    char *text; /* without secrets, NUL-terminated */
    size_t size;
    unsigned n_psks; /* that were in it */
    mode_t mode;
    bool is_cut; /* it is longer than the limit */
} DoctorFile;

void doctor_file_done(DoctorFile *f);

/* Reads a regular file, at most max bytes of it. path has no slash at its beginning. Returns
 * -EINVAL (not a regular file), -ENOMEM, or the error of open(2) or read(2). */
int doctor_read(int root, const char *path, size_t max, DoctorFile *ret) _must_check_;

/* Reads the first word of a small file, or "" if it cannot be read. */
void doctor_read_word(int root, const char *path, char *ret, size_t size);

bool doctor_exists(int root, const char *path);

/* The names in a directory that end with suffix, sorted; hidden ones are left out. */
typedef struct DoctorNames {
    char **items;
    size_t n;
} DoctorNames;

void doctor_names_done(DoctorNames *n);

/* A directory that is not there, or not readable, is empty. Returns -ENOMEM. */
int doctor_names(int root, const char *directory, const char *suffix, DoctorNames *ret)
    _must_check_;
/* The same in the order in which the directory has them, which some programs go by. */
int doctor_names_unsorted(int root, const char *directory, const char *suffix, DoctorNames *ret)
    _must_check_;
