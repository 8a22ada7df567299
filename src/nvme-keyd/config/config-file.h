/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "nvme-keyd/config/config.h"
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

/*
 * Reads nvme-keyd.conf of the first of the directories that has it, then all files of
 * nvme-keyd.conf.d in each of them whose names end in ".conf", in the order of their names, over
 * the defaults. Of several drop-ins of one name only that of the first directory counts. So an
 * empty file, or a link to /dev/null, masks what a later directory has. directories: ends with
 * NULL.
 *
 * An invalid line is ignored: its option keeps the value that it had before (exceptions:
 * config_set()). A file that cannot be read is ignored as a whole. *ret_problems gets a line for
 * each; the caller frees it with config_problems_done(). *ret is always set.
 */
void config_load_from(const char *const *directories, Config *ret, ConfigProblems *ret_problems);

/* The same for the directories of the system if path is NULL; otherwise for path and path.d alone.
 */
void config_load(const char *path, Config *ret, ConfigProblems *ret_problems);
