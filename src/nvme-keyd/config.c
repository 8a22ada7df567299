/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "basic/limits.h"
#include "basic/log.h"
#include "credstore/ways.h"
#include "nvme-keyd/config.h"

#define HOUR_USEC (3600 * USEC_PER_SEC)

const Config config_default = {
    .idle_exit_usec = 600 * USEC_PER_SEC,
    .retire_usec = 24 * HOUR_USEC,
    .negative_timeout_sec = UPCALL_NEGATIVE_TIMEOUT_SEC,
    .on_demand = false,
    .on_demand_sec = ON_DEMAND_SEC,
    .on_demand_force = false,
    .restart_handshake_daemon = false,
    .allow_null_key = false,
    .stand_in = false,
};

static int parse_bool(const char *s, bool *ret)
{
    static const char *const words[] = {"no", "yes", "0", "1", "false", "true", "off", "on"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(s, words[i]) == 0) {
            *ret = i % 2 == 1;
            return 0;
        }
    return -EINVAL;
}

static uint64_t unit_usec(const char *unit, size_t length)
{
    static const struct {
        const char *name;
        uint64_t usec;
    } units[] = {
        {"", USEC_PER_SEC},
        {"us", 1},
        {"usec", 1},
        {"ms", 1000},
        {"msec", 1000},
        {"s", USEC_PER_SEC},
        {"sec", USEC_PER_SEC},
        {"second", USEC_PER_SEC},
        {"seconds", USEC_PER_SEC},
        {"m", 60 * USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC},
        {"minute", 60 * USEC_PER_SEC},
        {"minutes", 60 * USEC_PER_SEC},
        {"h", HOUR_USEC},
        {"hr", HOUR_USEC},
        {"hour", HOUR_USEC},
        {"hours", HOUR_USEC},
        {"d", 24 * HOUR_USEC},
        {"day", 24 * HOUR_USEC},
        {"days", 24 * HOUR_USEC},
        {"w", 168 * HOUR_USEC},
        {"week", 168 * HOUR_USEC},
        {"weeks", 168 * HOUR_USEC},
    };

    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strlen(units[i].name) == length && memcmp(units[i].name, unit, length) == 0)
            return units[i].usec;
    return 0;
}

int config_parse_span(const char *s, uint64_t *ret_usec)
{
    uint64_t sum = 0;

    if (strcmp(s, "infinity") == 0) {
        *ret_usec = UINT64_MAX;
        return 0;
    }
    do {
        uint64_t n, unit, product;
        char *end;

        if (!isdigit((unsigned char)*s))
            return -EINVAL;
        errno = 0;
        n = strtoull(s, &end, 10);
        if (errno != 0)
            return -EINVAL;
        s = end + strspn(end, " ");
        end = (char *)(uintptr_t)s + strcspn(s, " 0123456789");
        unit = unit_usec(s, (size_t)(end - s));
        if (unit == 0 || __builtin_mul_overflow(n, unit, &product) ||
            __builtin_add_overflow(sum, product, &sum))
            return -EINVAL;
        s = end + strspn(end, " ");
    } while (*s);

    /* For ever: a time that far from now would not fit. */
    *ret_usec = sum > INT64_MAX / 2 ? UINT64_MAX : sum;
    return 0;
}

static int set_idle_exit(Config *c, const char *value)
{
    int r = config_parse_span(value, &c->idle_exit_usec);

    if (r < 0)
        return r;
    if (c->idle_exit_usec == 0)
        c->idle_exit_usec = UINT64_MAX;
    /* A connect storm that stops and starts us again and again trips the socket's trigger limit. */
    return c->idle_exit_usec < IDLE_EXIT_SEC_MIN * USEC_PER_SEC ? -EINVAL : 0;
}

static int set_retire(Config *c, const char *value)
{
    return config_parse_span(value, &c->retire_usec);
}

static int set_provision(Config *c, const char *value)
{
    c->on_demand = strcmp(value, "on-demand") == 0;
    return c->on_demand || strcmp(value, "resident") == 0 ? 0 : -EINVAL;
}

/* Whole seconds: that is what the kernel counts in. */
static int parse_seconds(const char *value, uint64_t min_usec, uint64_t max_usec, unsigned *ret)
{
    uint64_t usec;

    if (config_parse_span(value, &usec) < 0 || usec < min_usec || usec > max_usec)
        return -EINVAL;
    *ret = (unsigned)(usec / USEC_PER_SEC);
    return 0;
}

static int set_on_demand_timeout(Config *c, const char *value)
{
    return parse_seconds(value, ON_DEMAND_SEC_MIN * USEC_PER_SEC, 24 * HOUR_USEC,
                         &c->on_demand_sec);
}

static int set_on_demand_force(Config *c, const char *value)
{
    return parse_bool(value, &c->on_demand_force);
}

static int set_restart_handshake_daemon(Config *c, const char *value)
{
    return parse_bool(value, &c->restart_handshake_daemon);
}

static int set_negative_timeout(Config *c, const char *value)
{
    return parse_seconds(value, USEC_PER_SEC, HOUR_USEC, &c->negative_timeout_sec);
}

static int set_allow_null_key(Config *c, const char *value)
{
    return parse_bool(value, &c->allow_null_key);
}

/* The empty value is the default, as systemd has it for lists. A value that makes no sense must not
 * open more than the right one would. */
static int set_open_by(Config *c, const char *value)
{
    unsigned ways = WAYS_ALL;

    c->closed_ways = WAYS_ALL;
    if (*value && ways_parse(value, &ways) < 0)
        return -EINVAL;
    c->closed_ways = ~ways;
    return 0;
}

static int set_store_id(Config *c, const char *value)
{
    size_t length = strlen(value);

    strcpy(c->store_id, CONFIG_STORE_ID_BAD);
    if (length > 0 &&
        (length != STORE_IDENTITY_SIZE - 1 || strspn(value, "0123456789abcdef") != length))
        return -EINVAL;
    strcpy(c->store_id, value);
    return 0;
}

static int set_other_counters(Config *c, const char *value)
{
    return parse_bool(value, &c->other_counters);
}

static int set_stand_in(Config *c, const char *value)
{
    return parse_bool(value, &c->stand_in);
}

int config_set(Config *c, const char *section, const char *option, const char *value)
{
    static const struct {
        const char *section, *option;
        int (*set)(Config *c, const char *value);
    } options[] = {
        {"Manager", "IdleExitSec", set_idle_exit},
        {"Manager", "RetireSec", set_retire},
        {"Manager", "Provision", set_provision},
        {"Manager", "OnDemandTimeoutSec", set_on_demand_timeout},
        {"Manager", "OnDemandForce", set_on_demand_force},
        {"Manager", "RestartHandshakeDaemon", set_restart_handshake_daemon},
        {"Upcall", "NegativeTimeoutSec", set_negative_timeout},
        {"Keyring", "StandIn", set_stand_in},
        {"Store", "AllowNullKey", set_allow_null_key},
        {"Store", "OpenBy", set_open_by},
        {"Store", "Id", set_store_id},
        {"Store", "OtherCounters", set_other_counters},
    };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(options[i].section, section) == 0 && strcmp(options[i].option, option) == 0)
            return options[i].set(c, value);
    return -ENOENT;
}

typedef struct Load {
    Config config;
    const char *path;
    FILE *file;
    int line;        /* that was read last */
    int detail_line; /* that detail is about */
    char *detail;
} Load;

static int on_option(void *userdata, const char *section, const char *option, const char *value)
{
    Load *l = userdata;
    int r = config_set(&l->config, section, option, value);

    if (r == -ENOENT) {
        log_warning("%s: unknown option %s= in section [%s], ignored", l->path, option, section);
        return 1;
    }
    if (r < 0 && !l->detail) {
        l->detail_line = l->line;
        if (asprintf(&l->detail, "%s= in [%s] cannot be \"%s\"", option, section, value) < 0)
            l->detail = NULL;
    }
    return r == 0;
}

/* Counts: inih does not tell a handler the line it is about. */
static char *read_line(char *buffer, int size, void *stream)
{
    Load *l = stream;

    l->line++;
    return fgets(buffer, size, l->file);
}

static inline void fclosep(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}

static int load_file(Load *l, const char *path, char **reterr_detail)
{
    _cleanup_(fclosep) FILE *f = fopen(path, "re");
    int line;

    if (!f)
        return errno == ENOENT ? 0 : -errno;
    l->path = path;
    l->file = f;
    l->line = 0;
    line = ini_parse_stream(read_line, l, on_option, l);
    if (ferror(f))
        return -EIO;
    if (line == 0)
        return 0;
    if (line < 0)
        return -ENOMEM;
    /* inih goes on to the end; the first fault counts, which may be a line that is no option. */
    if (asprintf(reterr_detail, "%s:%d: %s", path, line,
                 l->detail && l->detail_line == line ? l->detail : "not an option") < 0)
        *reterr_detail = NULL;
    free(TAKE_PTR(l->detail));
    return -EINVAL;
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

static int load_drop_ins(Load *l, const char *path, char **reterr_detail)
{
    _cleanup_(freep) char *dir = NULL;
    struct dirent **entries = NULL;
    int n, r = 0;

    if (asprintf(&dir, "%s.d", path) < 0)
        return -ENOMEM;
    n = scandir(dir, &entries, is_conf, compare_names);
    if (n < 0)
        return errno == ENOENT ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        _cleanup_(freep) char *file = NULL;

        if (r == 0)
            r = asprintf(&file, "%s/%s", dir, entries[i]->d_name) < 0
                    ? -ENOMEM
                    : load_file(l, file, reterr_detail);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int config_load(const char *path, Config *ret, char **reterr_detail)
{
    Load l = {.config = config_default};
    int r = load_file(&l, path, reterr_detail);

    if (r == 0)
        r = load_drop_ins(&l, path, reterr_detail);
    if (r == 0)
        *ret = l.config;
    return r;
}
