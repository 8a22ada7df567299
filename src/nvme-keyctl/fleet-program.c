/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "basic/names.h"
#include "build-config.h"
#include "nvme-keyctl/cli.h"
#include "nvme-keyctl/fleet-program.h"

/* "fleet", a verb of two words, and an option. */
#define WORDS_MAX 4

bool fleet_is_meant(char *const *argv)
{
    size_t i = 1;

    while (argv[0] && argv[i] && argv[i][0] == '-')
        i++;
    return argv[0] && argv[i] && strcmp(argv[i], FLEET_VERB) == 0;
}

int fleet_execute(char **argv)
{
    const char *program = secure_getenv(NAMES_ENV_FLEET_PROGRAM);

    if (!program)
        program = HELPER_DIRECTORY "/nvme-keyctl-fleet";
    (void)execv(program, argv);
    return cli_fail(EXIT_OTHER, "cannot run %s: %s", program, strerror(errno));
}

int fleet_help(char *const *words)
{
    char *argv[WORDS_MAX + 1] = {(char[]){"nvme-keyctl"}};
    size_t n = 1;

    for (size_t i = 0; words[i] && n < WORDS_MAX - 1; i++)
        argv[n++] = words[i];
    argv[n] = (char[]){"--help"};
    return fleet_execute(argv);
}

int verb_fleet(_unused_ const Options *o)
{
    return cli_fail(EXIT_USAGE, "options of fleet follow it: see nvme-keyctl help fleet");
}
