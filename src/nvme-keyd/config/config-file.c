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

#include "basic/macro.h"
#include "basic/text.h"
#include "nvme-keyd/config/config-file.h"
#include "nvme-keyd/config/limits.h"

/*
 * inih continues after a line that it cannot parse, and returns the number of the first such line
 * only. To report each of them, read_line() notes when a line should be an option: if on_option()
 * was not called by the time the next line is read, inih could not parse that line.
 */
typedef struct Load {
    const ConfigForm *form;
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
    r = l->form->set(l->form->target, section, option, value);
    if (r == -ENOENT) {
        add_problem(l->problems, l->path, l->line, "unknown option %s= in section [%s], ignored",
                    option, section);
        l->problems->n_unknown++;
    } else if (r < 0)
        add_problem(l->problems, l->path, l->line, "%s= in [%s] cannot be \"%s\": give %s", option,
                    section, value, l->form->allowed(section, option));
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

static void load_file(Load *l, const char *path)
{
    _cleanup_(fclosep) FILE *f = NULL;
    const char *why = NULL;
    size_t before = l->problems->n;
    int line, r = open_file(path, &f, &why);

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

/* Paths of drop-ins, each with another name. */
typedef struct DropIns {
    char **paths;
    size_t n;
} DropIns;

static void drop_ins_done(DropIns *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->paths[i]);
    free(d->paths);
}

static const char *name_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(name_of(*(char *const *)a), name_of(*(char *const *)b));
}

/* Adds dir/name, unless a directory before has a drop-in of this name. */
static int add_drop_in(DropIns *d, const char *dir, const char *name)
{
    char **paths;

    for (size_t i = 0; i < d->n; i++)
        if (strcmp(name_of(d->paths[i]), name) == 0)
            return 0;
    paths = reallocarray(d->paths, d->n + 1, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    d->paths = paths;
    if (asprintf(&paths[d->n], "%s/%s", dir, name) < 0)
        return -ENOMEM;
    d->n++;
    return 0;
}

static int find_drop_ins(DropIns *d, const char *dir)
{
    _cleanup_(closedirp) DIR *entries = opendir(dir);
    const struct dirent *e;
    int r = 0;

    if (!entries)
        return errno == ENOENT ? 0 : -errno;
    while (r >= 0) {
        errno = 0;
        e = readdir(entries);
        if (!e)
            return -errno;
        if (is_conf(e))
            r = add_drop_in(d, dir, e->d_name);
    }
    return r;
}

/* A dangling symlink is not a missing file. */
static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 || errno != ENOENT;
}

/* Reads the file of the first directory that has one, and finds the drop-ins of all. */
static int load_directories(Load *l, const char *const *directories, const char *name,
                            DropIns *drop_ins)
{
    bool found = false;

    for (const char *const *d = directories; *d; d++) {
        _cleanup_(freep) char *file = NULL, *drop_in_dir = NULL;
        int r;

        if (asprintf(&file, "%s/%s", *d, name) < 0 || asprintf(&drop_in_dir, "%s.d", file) < 0)
            return -ENOMEM;
        if (!found && exists(file)) {
            load_file(l, file);
            found = true;
        }
        r = find_drop_ins(drop_ins, drop_in_dir);
        if (r < 0)
            add_problem(l->problems, drop_in_dir, 0, "cannot be read, ignored: %s", strerror(-r));
    }
    return 0;
}

void config_file_load(const char *const *directories, const char *name, const ConfigForm *form,
                      ConfigProblems *ret_problems)
{
    _cleanup_(drop_ins_done) DropIns drop_ins = {.n = 0};
    Load l = {.form = form, .problems = ret_problems};

    *ret_problems = (ConfigProblems){.n = 0};
    if (load_directories(&l, directories, name, &drop_ins) < 0)
        add_problem(ret_problems, name, 0, "cannot be read, ignored: %s", strerror(ENOMEM));
    if (drop_ins.n > 0)
        qsort(drop_ins.paths, drop_ins.n, sizeof(*drop_ins.paths), compare_names);
    for (size_t i = 0; i < drop_ins.n; i++)
        load_file(&l, drop_ins.paths[i]);
    if (ret_problems->n > CONFIG_PROBLEMS_MAX &&
        asprintf(&ret_problems->lines[CONFIG_PROBLEMS_MAX], "%s/%s: %zu more problems, not listed",
                 directories[0], name, ret_problems->n - CONFIG_PROBLEMS_MAX) < 0)
        ret_problems->lines[CONFIG_PROBLEMS_MAX] = NULL;
}

void config_file_load_path(const char *path, const ConfigForm *form, ConfigProblems *ret_problems)
{
    const char *slash = strrchr(path, '/');
    _cleanup_(freep) char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
    const char *directories[] = {slash ? dir : ".", NULL};

    config_file_load(directories, slash ? slash + 1 : path, form, ret_problems);
}
