/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* The first word of the commands in fleet-verbs.h. */
#define FLEET_VERB "fleet"

/* True if the first word after options is the verb. */
bool fleet_is_meant(char *const *argv);
/* Executes the program in our place. Returns an exit code if that fails. */
int fleet_execute(char **argv);
/* Same, for the help of the verbs that words name. */
int fleet_help(char *const *words);
