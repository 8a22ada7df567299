/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "nvme-keyd/config/limits.h"

/* Mistakes in the files of a configuration: one line for people each, with file and line number. */
typedef struct ConfigProblems {
    char *lines[CONFIG_PROBLEMS_MAX + 1]; /* NULL after the last one */
    size_t n;         /* all problems, including those that the last line only counts */
    size_t n_unknown; /* of n: unknown options, which another version may have */
} ConfigProblems;

/* Frees the lines; *p is empty afterwards. */
void config_problems_done(ConfigProblems *p);

/* The i-th line; NULL past the last one. */
const char *config_problem(const ConfigProblems *p, size_t i);

/* The options of a program. set: takes the value of one, as config_set() does; allowed: as
 * config_allowed(). target is given to set. */
typedef struct ConfigForm {
    int (*set)(void *target, const char *section, const char *option, const char *value);
    const char *(*allowed)(const char *section, const char *option);
    void *target;
} ConfigForm;

/*
 * Reads the file name in the first of the directories that has it, then all files of name.d in
 * each of them whose names end in ".conf", in the order of their names. Of several drop-ins of one
 * name only that of the first directory counts. So an empty file, or a link to /dev/null, masks
 * what a later directory has. directories: ends with NULL.
 *
 * An invalid line is ignored: its option keeps the value that it had before, unless set() does
 * otherwise. A file that cannot be read is ignored as a whole. *ret_problems gets a line for
 * each; the caller frees it with config_problems_done().
 */
void config_file_load(const char *const *directories, const char *name, const ConfigForm *form,
                      ConfigProblems *ret_problems);

/* The same for path and path.d alone. */
void config_file_load_path(const char *path, const ConfigForm *form, ConfigProblems *ret_problems);
