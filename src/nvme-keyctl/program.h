/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyctl/command-line.h"

/* Runs a program with verbs: sets up standard output and locked memory, reads the command line, and
 * runs help, the pager or the verb. prepare() checks the options of the verb before it runs, and
 * returns an exit code. Returns the exit code of the program. */
int program_run(const CommandLine *line, int argc, char **argv, Options *o,
                int (*prepare)(const Verb *verb, Options *o));
