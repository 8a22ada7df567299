/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "basic/crypto-memory.h"
#include "build-config.h"
#include "nvme-keyctl/output.h"
#include "nvme-keyctl/pager.h"
#include "nvme-keyctl/program.h"

static int init_memory(void)
{
    int r = crypto_memory_init();

    if (r == 0)
        r = secret_memory_init();
    return r < 0 ? cli_fail(EXIT_OTHER,
                            "cannot lock memory for secrets (%s): raise the limit with ulimit -l",
                            strerror(-r))
                 : EXIT_OK;
}

/* look: see Verb. *ret_pager: 0 for none. */
static int run_verb(const Verb *verb, Options *o, int (*prepare)(const Verb *verb, Options *o),
                    const char **ret_look, pid_t *ret_pager)
{
    int r = prepare(verb, o);

    if (r != EXIT_OK)
        return r;
    *ret_look = o->dry_run ? NULL : verb->look;
    if (verb->options & OPT_NO_PAGER && o->columns > 0 && !o->no_pager && !o->check)
        *ret_pager = pager_start();
    return verb->run(o);
}

int program_run(const CommandLine *line, int argc, char **argv, Options *o,
                int (*prepare)(const Verb *verb, Options *o))
{
    const char *look = NULL;
    const Verb *verb;
    pid_t pager = 0;
    int r = output_init();

    /* Tables and QR codes have to know the characters of the terminal. */
    (void)setlocale(LC_CTYPE, "");
    if (r < 0)
        return cli_fail(EXIT_OTHER, "cannot open /dev/null: %s", strerror(-r));
    o->columns = output_columns();
    r = init_memory();
    if (r == EXIT_OK)
        r = command_line_parse(line, argc, argv, o, &verb);
    if (r == EXIT_OK && o->help)
        r = help_print(line, o->arguments);
    else if (r == EXIT_OK && o->version)
        printf("nvme-keyctl " PROJECT_VERSION "\n");
    else if (r == EXIT_OK)
        r = run_verb(verb, o, prepare, &look, &pager);
    if (pager == 0)
        return output_finish(r, look);
    (void)fclose(stdout);
    pager_wait(pager);
    return r;
}
