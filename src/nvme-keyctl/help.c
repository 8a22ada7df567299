/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "nvme-keyctl/command-line.h"

#define WORD_MAX 32
/* Two slips of the finger. */
#define DISTANCE_MAX 2

/* Characters to insert, drop, replace or swap with the next one, to get from a to b; WORD_MAX for
 * longer words. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[WORD_MAX + 1][WORD_MAX + 1];

    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            size_t best = i + j;

            if (i > 0 && j > 0) {
                best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                best = CONST_MIN(best, CONST_MIN(d[i - 1][j], d[i][j - 1]) + 1);
            }
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = CONST_MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    return d[n][m];
}

/* The best guess so far at a word. */
typedef struct Guess {
    const char *word;
    size_t length;
    const char *name;
    size_t distance;
} Guess;

static Guess guess_begin(const char *word, size_t length)
{
    /* Of a short word not much is left after two changes. */
    return (Guess){word, length, NULL, CONST_MIN(DISTANCE_MAX, (length + 1) / 3) + 1};
}

static void guess(Guess *g, const char *name)
{
    size_t n = distance(g->word, g->length, name, strlen(name));

    if (n < g->distance) {
        g->distance = n;
        g->name = name;
    }
}

static void print_line(const char *prefix, const char *name, const char *joint,
                       const char *argument, const char *help)
{
    char text[48];

    (void)snprintf(text, sizeof(text), "%s%s%s%s", prefix, name, argument ? joint : "",
                   argument ? argument : "");
    printf("  %-24s %s\n", text, help);
}

static void print_options(const CommandLine *line, uint64_t bits)
{
    for (size_t i = 0; i < line->n_options; i++)
        if (line->options[i].bit & bits)
            print_line("--", line->options[i].name, "=", line->options[i].argument,
                       line->options[i].help);
}

static void print_all(const CommandLine *line)
{
    printf("nvme-keyctl [OPTIONS] COMMAND\n\n"
           "Manages the TLS pre-shared keys of NVMe/TCP that nvme-keyd stores and publishes.\n");
    for (size_t i = 0; i < line->n_verbs; i++) {
        const Verb *verb = &line->verbs[i];

        if (verb->run)
            print_line("", verb->name, " ", verb->argument, verb->help);
        else
            printf("\n%s:\n", verb->name);
    }
    printf("\nOptions of all commands:\n");
    print_options(line, OPT_COMMON);
    printf("\nnvme-keyctl help COMMAND lists the options of a command.\n"
           "Never put a secret on the command line. See nvme-keyctl(1).\n");
}

static void print_verb(const CommandLine *line, const Verb *verb)
{
    printf("nvme-keyctl %s%s%s%s\n\n%c%s.\n", verb->name, verb->options ? " [OPTIONS]" : "",
           verb->argument ? " " : "", verb->argument ? verb->argument : "", toupper(verb->help[0]),
           verb->help + 1);
    if (verb->options) {
        printf("\nOptions:\n");
        print_options(line, verb->options);
    }
}

/* True for "slot" and the verb "slot list". */
static bool is_group(const char *word, const char *verb)
{
    size_t n = strlen(word);

    return strncmp(verb, word, n) == 0 && verb[n] == ' ';
}

int help_print(const CommandLine *line, char *const *words)
{
    size_t n = 0;

    if (!words[0]) {
        print_all(line);
        return EXIT_OK;
    }
    for (size_t i = 0; i < line->n_verbs; i++) {
        const Verb *verb = &line->verbs[i];

        if (command_line_match(verb, words) > 0 || (!words[1] && is_group(words[0], verb->name))) {
            if (n++ > 0)
                printf("\n");
            print_verb(line, verb);
        }
    }
    return n > 0 ? EXIT_OK : help_refuse_verb(line, words);
}

/* A verb of two words is compared with both. */
static void guess_verb(const Verb *verb, char *const *words, Guess *one, Guess *two)
{
    if (!verb->run)
        return;
    guess(strchr(verb->name, ' ') && words[1] ? two : one, verb->name);
}

static bool has_group(const CommandLine *line, const char *word)
{
    for (size_t i = 0; i < line->n_verbs; i++)
        if (is_group(word, line->verbs[i].name))
            return true;
    return false;
}

int help_refuse_verb(const CommandLine *line, char *const *words)
{
    char both[WORD_MAX + 1];
    int n = snprintf(both, sizeof(both), "%s %s", words[0], words[1] ? words[1] : "");
    Guess one = guess_begin(words[0], strlen(words[0])), two = guess_begin(both, (size_t)n);
    const char *name;

    for (size_t i = 0; i < line->n_verbs; i++)
        guess_verb(&line->verbs[i], words, &one, &two);
    name = two.name && two.distance < one.distance ? two.name : one.name;
    if (name)
        return cli_fail(EXIT_USAGE, "unknown command, did you mean %s? See nvme-keyctl help", name);
    if (has_group(line, words[0]))
        return cli_fail(EXIT_USAGE, "%s needs one of its commands, see nvme-keyctl help %s",
                        words[0], words[0]);
    return cli_fail(EXIT_USAGE, "unknown command, see nvme-keyctl help");
}

int help_refuse_option(const CommandLine *line, const char *word)
{
    size_t n = strcspn(word, "=");
    Guess g = guess_begin(word + 2, n - CONST_MIN(n, 2));

    for (size_t i = 0; n > 2 && i < line->n_options; i++)
        guess(&g, line->options[i].name);
    if (g.name)
        return cli_fail(EXIT_USAGE, "%.*s is an unknown option, did you mean --%s?", (int)n, word,
                        g.name);
    return cli_fail(EXIT_USAGE, "%.*s is an unknown option, see --help", (int)n, word);
}
