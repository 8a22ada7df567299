/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvme-keyctl/cli.h"

/* Cells that are longer may be wrapped where the terminal is narrow. IDs and serials are not, so
 * that they can be copied. */
#define WHOLE_MAX 24

#define UNDERLINE "\033[4m"

typedef struct Table {
    struct libscols_table *scols;
    const char *const *cells;
    size_t n_columns, n_rows;
    bool colours;
} Table;

/* Words that have one meaning in all tables. */
static const struct {
    const char *word, *colour;
} word_colours[] = {
    {"active", "green"},    {"accepted", "green"}, {"live", "green"},   {"pending", "yellow"},
    {"retiring", "yellow"}, {"own", "yellow"},     {"older", "yellow"}, {"foreign", "yellow"},
    {"revoked", "red"},     {"broken", "red"},     {"refused", "red"},  {"unreachable", "red"},
    {"no-tls", "red"},
};

static const char *colour_of(const char *cell)
{
    for (size_t i = 0; i < ARRAY_SIZE(word_colours); i++)
        if (strcmp(cell, word_colours[i].word) == 0)
            return word_colours[i].colour;
    return NULL;
}

/* As no-color.org and systemd(1) define them. */
bool cli_use_colours(const Options *o)
{
    const char *term = getenv("TERM"), *colours = getenv("SYSTEMD_COLORS"),
               *no_colour = getenv("NO_COLOR");

    if (colours)
        return strcmp(colours, "0") != 0 && strcmp(colours, "no") != 0 &&
               strcmp(colours, "false") != 0;
    return o->columns > 0 && !(no_colour && no_colour[0]) && term && strcmp(term, "dumb") != 0;
}

/* The head of a column makes it wider, even if it is not printed. */
static int add_column(const Options *o, const Table *t, size_t column)
{
    struct libscols_column *c;
    size_t width = 0;

    for (size_t row = 1; row < t->n_rows && width <= WHOLE_MAX; row++)
        width = CONST_MAX(width, strlen(t->cells[row * t->n_columns + column]));
    c = scols_table_new_column(t->scols, o->legend ? t->cells[column] : "", 0,
                               width > WHOLE_MAX ? SCOLS_FL_WRAP : 0);
    if (!c)
        return -ENOMEM;
    return t->colours ? scols_cell_set_color(scols_column_get_header(c), UNDERLINE) : 0;
}

static int add_row(const Table *t, size_t row)
{
    struct libscols_line *line = scols_table_new_line(t->scols, NULL);
    int r = line ? 0 : -ENOMEM;

    for (size_t i = 0; i < t->n_columns && r == 0; i++) {
        const char *cell = t->cells[row * t->n_columns + i], *colour;

        r = scols_line_set_data(line, i, cell);
        colour = t->colours ? colour_of(cell) : NULL;
        if (r == 0 && colour)
            r = scols_cell_set_color(scols_line_get_cell(line, i), colour);
    }
    return r;
}

static int print(const Options *o, const Table *t)
{
    int r = scols_table_enable_noheadings(t->scols, !o->legend);

    (void)scols_table_enable_colors(t->scols, t->colours);
    (void)scols_table_enable_minout(t->scols, 1);
    /* Not what standard output is by now, which may be a pager. */
    (void)scols_table_set_termforce(t->scols, o->columns > 0 ? SCOLS_TERMFORCE_ALWAYS
                                                             : SCOLS_TERMFORCE_NEVER);
    (void)scols_table_set_termwidth(t->scols, o->columns);
    for (size_t i = 0; i < t->n_columns && r == 0; i++)
        r = add_column(o, t, i);
    for (size_t i = 1; i < t->n_rows && r == 0; i++)
        r = add_row(t, i);
    return r == 0 ? scols_print_table(t->scols) : r;
}

int cli_print_table(const Options *o, const char *const *cells, size_t n_columns, size_t n_rows)
{
    Table t = {scols_new_table(), cells, n_columns, n_rows, cli_use_colours(o)};
    int r = t.scols ? print(o, &t) : -ENOMEM;

    scols_unref_table(t.scols);
    /* An error of standard output is reported at the end. */
    return r == -ENOMEM ? cli_out_of_memory() : EXIT_OK;
}
