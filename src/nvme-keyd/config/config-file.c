/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/text.h"
#include "nvme-keyd/config/config-file.h"
#include "nvme-keyd/config/limits.h"

/*
 * inih continues after a line that it cannot parse, and returns the number of the first such line
 * only. To report each of them, read_line() notes when a line should be an option: if on_option()
 * was not called by the time the next line is read, inih could not parse that line.
 */
typedef struct Load {
    Config config;
    ConfigProblems *problems;
    const char *path;
    FILE *file;
    unsigned line; /* of the last line read */
    bool expected; /* the line is an option or malformed */
} Load;

void config_problems_done(ConfigProblems *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->lines); i++)
        free(p->lines[i]);
    *p = (ConfigProblems){.n = 0};
}

const char *config_problem(const ConfigProblems *p, size_t i)
{
    return i < ARRAY_SIZE(p->lines) ? p->lines[i] : NULL;
}

/* Problems are printed to the journal, to terminals and in JSON. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

/* line: 0 for the whole file. */
static void add_problem(ConfigProblems *p, const char *path, unsigned line, const char *format, ...)
    _printf_(4, 5);
static void add_problem(ConfigProblems *p, const char *path, unsigned line, const char *format, ...)
{
    char what[CONFIG_PROBLEM_LENGTH_MAX], number[16] = "", *text;
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(what, sizeof(what), format, ap);
    va_end(ap);
    if (line > 0)
        (void)snprintf(number, sizeof(number), ":%u", line);
    /* Without memory the problem is still counted. */
    if (p->n < CONFIG_PROBLEMS_MAX && asprintf(&text, "%s%s: %s", path, number, what) >= 0) {
        make_printable(text);
        p->lines[p->n] = text;
    }
    p->n++;
}

static int on_option(void *userdata, const char *section, const char *option, const char *value)
{
    Load *l = userdata;
    int r;

    l->expected = false;
    r = config_set(&l->config, section, option, value);
    if (r == -ENOENT) {
        add_problem(l->problems, l->path, l->line, "unknown option %s= in section [%s], ignored",
                    option, section);
        l->problems->n_unknown++;
    } else if (r < 0)
        add_problem(l->problems, l->path, l->line, "%s= in [%s] cannot be \"%s\": give %s", option,
                    section, value, config_allowed(section, option));
    return 1;
}

static void end_line(Load *l)
{
    if (l->expected)
        add_problem(l->problems, l->path, l->line,
                    "not an option: give OPTION=VALUE, [SECTION], or a comment after \"#\"");
    l->expected = false;
}

/* Skips the rest of a line whose beginning is in the buffer. Returns true if that was more than the
 * newline. */
static bool skip_rest(FILE *f, const char *line)
{
    bool more = false;
    int c;

    if (strchr(line, '\n'))
        return false;
    while ((c = getc(f)) != EOF && c != '\n')
        more = true;
    return more;
}

/* Reads one line for inih, without leading blanks: inih would take an indented line for the
 * continuation of the value before, which no option has. */
static char *read_line(char *buffer, int size, void *stream)
{
    static const char mark[] = "\xef\xbb\xbf";
    Load *l = stream;
    size_t skip = 0;

    end_line(l);
    if (!fgets(buffer, size, l->file))
        return NULL;
    l->line++;
    /* A NUL byte hides the rest of the line, which fgets() has read. */
    if (strlen(buffer) + 1 < (size_t)size && !strchr(buffer, '\n') && !feof(l->file)) {
        add_problem(l->problems, l->path, l->line, "contains a NUL byte, ignored");
        strcpy(buffer, "\n");
        return buffer;
    }
    if (skip_rest(l->file, buffer)) {
        add_problem(l->problems, l->path, l->line, "longer than %d bytes, ignored", size - 2);
        strcpy(buffer, "\n");
        return buffer;
    }
    if (l->line == 1 && text_after(buffer, mark))
        skip = strlen(mark);
    skip += strspn(buffer + skip, " \t\r\n\v\f");
    memmove(buffer, buffer + skip, strlen(buffer + skip) + 1);
    l->expected = buffer[0] == '[' ? !strchr(buffer, ']') : buffer[0] && !strchr(";#", buffer[0]);
    return buffer;
}

/* Opens a file that can be read without blocking and that ends: a regular file, or /dev/null for an
 * empty one. *reterr_why is set where the errno does not explain the refusal. */
static int open_file(const char *path, FILE **ret, const char **reterr_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
        *reterr_why = S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file";
    else if (st.st_size > CONFIG_FILE_MAX)
        *reterr_why = "is too large";
    else
        *ret = fdopen(fd, "r");
    if (r == 0 && !*reterr_why && !*ret)
        r = -errno;
    if (!*ret)
        (void)close(fd);
    return r < 0 ? r : *reterr_why ? -EINVAL : 0;
}

/* missing: true if the file may be missing. A dangling symlink is not a missing file. */
static void load_file(Load *l, const char *path, bool missing)
{
    _cleanup_(fclosep) FILE *f = NULL;
    const char *why = NULL;
    size_t before = l->problems->n;
    struct stat st;
    int line, r = open_file(path, &f, &why);

    if (r == -ENOENT && missing && lstat(path, &st) < 0)
        return;
    if (r < 0) {
        add_problem(l->problems, path, 0, "cannot be read, ignored: %s", why ? why : strerror(-r));
        return;
    }
    l->path = path;
    l->file = f;
    l->line = 0;
    line = ini_parse_stream(read_line, l, on_option, l);
    end_line(l);
    if (ferror(f))
        add_problem(l->problems, path, 0, "cannot be read to its end");
    else if (line < 0)
        add_problem(l->problems, path, 0, "cannot be read, ignored: %s", strerror(ENOMEM));
    else if (line > 0 && l->problems->n == before)
        add_problem(l->problems, path, (unsigned)line, "not an option, ignored");
}

static int is_conf(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > 5 && e->d_name[0] != '.' && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_drop_ins(Load *l, const char *path)
{
    _cleanup_(freep) char *dir = NULL;
    struct dirent **entries = NULL;
    int n = asprintf(&dir, "%s.d", path) < 0 ? -1 : scandir(dir, &entries, is_conf, compare_names);

    if (n < 0 && errno != ENOENT)
        add_problem(l->problems, dir ? dir : path, 0, "cannot be read, ignored: %s",
                    strerror(errno));
    for (int i = 0; i < n; i++) {
        _cleanup_(freep) char *file = NULL;

        if (asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0)
            add_problem(l->problems, dir, 0, "%s", strerror(ENOMEM));
        else
            load_file(l, file, false);
        free(entries[i]);
    }
    free(entries);
}

void config_load(const char *path, Config *ret, ConfigProblems *ret_problems)
{
    Load l = {.config = config_default, .problems = ret_problems};

    *ret_problems = (ConfigProblems){.n = 0};
    load_file(&l, path, true);
    load_drop_ins(&l, path);
    if (ret_problems->n > CONFIG_PROBLEMS_MAX &&
        asprintf(&ret_problems->lines[CONFIG_PROBLEMS_MAX], "%s: %zu more problems, not listed",
                 path, ret_problems->n - CONFIG_PROBLEMS_MAX) < 0)
        ret_problems->lines[CONFIG_PROBLEMS_MAX] = NULL;
    *ret = l.config;
}
