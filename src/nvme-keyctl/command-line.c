/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyctl/command-line.h"

#define READS_SECRET ": pass a secret by standard input, --key-file= or the prompt"
#define OPTIONS_MAX 64

static int find_word(const char *value, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(value, words[i]) == 0)
            return i;
    return -EINVAL;
}

/* Lists the allowed values and never the given one, which may be a secret. */
static int refuse_value(const Option *option)
{
    char list[64] = "";
    size_t n = 0;

    for (const char *const *word = option->words; *word; word++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s",
                              n == 0    ? ""
                              : word[1] ? ", "
                                        : " or ",
                              *word);
    return cli_fail(EXIT_USAGE, "--%s= must be %s", option->name, list);
}

static int set_option(Options *o, const Option *option, const char *value)
{
    void *member = (char *)o + option->member;

    if (option->words && find_word(value, option->words) < 0)
        return refuse_value(option);
    if (option->set)
        return option->set(o, value);
    if (option->argument)
        *(const char **)member = value;
    else
        *(bool *)member = true;
    return EXIT_OK;
}

/* The message of getopt would repeat a value, which may be a secret. */
static int refuse_option(const CommandLine *line, char **argv, int why)
{
    const char *word = optopt && why == '?' ? NULL : argv[optind - 1];

    if (!word)
        return cli_fail(EXIT_USAGE, "unknown option, or one that takes no value, see --help");
    if (why == ':')
        return cli_fail(EXIT_USAGE, "%.*s needs a value, see --help", (int)strcspn(word, "="),
                        word);
    return help_refuse_option(line, word);
}

/* Checked before anything else, so that no message, comment or other program gets the secret. */
static int refuse_secrets(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (cli_is_secret(argv[i]))
            return cli_fail(EXIT_USAGE,
                            "the command line holds a secret, which the shell keeps in its history "
                            "and other users can see: stop using it, and pass "
                            "another one by standard input, --key-file= or the prompt");
    return EXIT_OK;
}

static bool may_repeat(const Option *option)
{
    static const char *const names[] = {"subsysnqn", "force-for", "to"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(option->name, names[i]) == 0)
            return true;
    return false;
}

/* *given has a bit for each row of the options. Several --subsysnqn= are checked per verb. */
static int take_option(const CommandLine *line, Options *o, size_t row, const char *value,
                       uint64_t *given)
{
    const Option *option = &line->options[row];

    if (*given & (uint64_t)1 << row && !may_repeat(option))
        return cli_fail(EXIT_USAGE, "--%s was given twice", option->name);
    *given |= (uint64_t)1 << row;
    return set_option(o, option, value);
}

/* The number of rows if there is no such option. */
static size_t row_of(const CommandLine *line, const char *name)
{
    size_t row = 0;

    while (row < line->n_options && strcmp(line->options[row].name, name) != 0)
        row++;
    return row;
}

static bool reads_secret(const CommandLine *line, const Verb *verb)
{
    size_t row = row_of(line, "key-file");

    return row < line->n_options && line->options[row].bit & verb->options;
}

static int parse_options(const CommandLine *line, int argc, char **argv, Options *o,
                         uint64_t *given)
{
    struct option long_options[OPTIONS_MAX + 1] = {{NULL, 0, NULL, 0}};
    int row = 0, c, r = EXIT_OK;

    for (size_t i = 0; i < line->n_options; i++)
        long_options[i] =
            (struct option){line->options[i].name,
                            line->options[i].argument ? required_argument : no_argument, NULL, 1};
    while (r == EXIT_OK && (c = getopt_long(argc, argv, ":hj", long_options, &row)) >= 0) {
        if (c == '?' || c == ':')
            r = refuse_option(line, argv, c);
        else if (c == 'j')
            r = take_option(line, o, row_of(line, "json"), "pretty", given);
        else if (c == 'h')
            o->help = true;
        else
            r = take_option(line, o, (size_t)row, optarg, given);
    }
    return r;
}

int command_line_match(const Verb *verb, char *const *words)
{
    size_t length = strcspn(verb->name, " ");

    if (!verb->run || strncmp(words[0], verb->name, length) != 0 || words[0][length] != '\0')
        return 0;
    if (verb->name[length] == '\0')
        return 1;
    return words[1] && strcmp(words[1], verb->name + length + 1) == 0 ? 2 : 0;
}

/* The first verb is the default. */
static const Verb *find_verb(const CommandLine *line, char **words, char ***ret_arguments)
{
    for (size_t i = 0; i < line->n_verbs; i++) {
        const Verb *verb = &line->verbs[i];
        int n = words[0] ? command_line_match(verb, words) : 0;

        if (n > 0 || (!words[0] && verb->run)) {
            *ret_arguments = words + n;
            return verb;
        }
    }
    return NULL;
}

static int check_options(const CommandLine *line, const Verb *verb, uint64_t given)
{
    for (size_t i = 0; i < line->n_options; i++)
        if (given & (uint64_t)1 << i && !(line->options[i].bit & (verb->options | OPT_COMMON)))
            return cli_fail(EXIT_USAGE, "%s does not take --%s, see nvme-keyctl help %s",
                            verb->name, line->options[i].name, verb->name);
    return EXIT_OK;
}

static int check_arguments(const CommandLine *line, const Verb *verb, int n)
{
    const char *argument = verb->argument;
    int most = !argument ? 0 : strstr(argument, "...") ? n : 1;

    if (argument && n == 0 && argument[0] != '[')
        return cli_fail(EXIT_USAGE, "%s needs %s", verb->name, argument);
    /* The argument may be a PSK, so it is not repeated. */
    if (n > most)
        return cli_fail(EXIT_USAGE, "unexpected argument after %s%s%s%s", verb->name,
                        argument ? " " : "", argument ? argument : "",
                        reads_secret(line, verb) ? READS_SECRET : "");
    return EXIT_OK;
}

int command_line_parse(const CommandLine *line, int argc, char **argv, Options *o, const Verb **ret)
{
    const Verb *verb;
    uint64_t given = 0;
    int r;

    *ret = NULL;
    if ((r = refuse_secrets(argc, argv)) != EXIT_OK ||
        (r = parse_options(line, argc, argv, o, &given)) != EXIT_OK)
        return r;
    o->arguments = argv + optind;
    if (o->help || o->version)
        return EXIT_OK;
    verb = find_verb(line, argv + optind, &o->arguments);
    if (!verb)
        return help_refuse_verb(line, argv + optind);
    *ret = verb;
    r = check_options(line, verb, given);
    return r == EXIT_OK ? check_arguments(line, verb, (int)(argv + argc - o->arguments)) : r;
}
