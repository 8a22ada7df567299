/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/limits.h"

/* What is wrong with the files of a configuration: lines for people, each with file and line. */
typedef struct ConfigProblems {
    char *lines[CONFIG_PROBLEMS_MAX + 1]; /* NULL behind the last one */
    size_t n;                             /* of them, also those that the last line only counts */
    size_t n_unknown;                     /* of n: options that another version may know */
} ConfigProblems;

/* Frees the lines, and leaves none. */
void config_problems_done(ConfigProblems *p);

/* The i-th line, or NULL behind the last one. */
const char *config_problem(const ConfigProblems *p, size_t i);

/*
 * Reads path, if it exists, and then path.d/ *.conf in the order of their names, over the defaults.
 *
 * A line that cannot be used is passed over: its option keeps the value that it had without that
 * line (config_set() tells of exceptions). So is a file that cannot be read. *ret_problems, which
 * the caller ends with config_problems_done(), has a line for each. *ret is set in every case.
 */
void config_load(const char *path, Config *ret, ConfigProblems *ret_problems);
