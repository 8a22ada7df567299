/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nvme-keyctl/cli.h"

#define OPT_COMMON ((uint64_t)1 << 63)   /* goes with every verb */
#define OPT_NO_PAGER ((uint64_t)1 << 62) /* a verb that takes it uses a pager */

typedef struct Option {
    uint64_t bit;
    const char *name;
    const char *argument; /* or NULL */
    /* Offset in Options of a string, or of a bool for an option without argument; or 0 with set().
     */
    size_t member;
    int (*set)(Options *o, const char *value);
    const char *const *words; /* the values that it takes, or NULL for any */
    const char *help;
} Option;

/* A row without run() is the heading of the verbs after it. */
typedef struct Verb {
    const char *name;     /* one word or two */
    const char *argument; /* after its name, in brackets if optional; or NULL */
    uint64_t options;
    int (*run)(const Options *o);
    const char *help;
    const char *look; /* the command that shows its changes; NULL if it makes none */
} Verb;

/* The tables of the program. At most 64 options. The first verb is the default. */
typedef struct CommandLine {
    const Option *options;
    size_t n_options;
    const Verb *verbs;
    size_t n_verbs;
} CommandLine;

/* Parses argv into *o and finds the verb, for which options and arguments are checked. With --help
 * or --version *ret is NULL, and o->arguments has all words. Messages repeat no value, because it
 * may be a secret. Returns an exit code. */
int command_line_parse(const CommandLine *line, int argc, char **argv, Options *o,
                       const Verb **ret);

/* How many of words, which ends with NULL, name the verb: 2, 1 or 0. */
int command_line_match(const Verb *verb, char *const *words);

/* help.c: prints the help of the verb that words name, or of those whose first word they are;
 * without words, the list of all verbs. Returns an exit code. */
int help_print(const CommandLine *line, char *const *words);
/* Reports an unknown verb or option, with the one that was probably meant. Return an exit code. */
int help_refuse_verb(const CommandLine *line, char *const *words);
int help_refuse_option(const CommandLine *line, const char *word);
