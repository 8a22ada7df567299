/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "basic/limits.h"
#include "basic/names.h"
#include "basic/text.h"
#include "credstore/seal/ways.h"
#include "nvme-keyd/config/config.h"
#include "nvme-keyd/config/limits.h"

#define HOUR_USEC (3600 * USEC_PER_SEC)

const Config config_default = {
    .idle_exit_usec = 600 * USEC_PER_SEC,
    .retire_usec = 24 * HOUR_USEC,
    .negative_timeout_sec = NEGATIVE_TIMEOUT_SEC,
    .on_demand = false,
    .on_demand_sec = ON_DEMAND_SEC,
    .on_demand_force = false,
    .restart_tlshd = false,
    .allow_null_key = false,
    .export_keys = true,
    .guard = true,
    .displace_foreign = false,
    .max_age_usec = UINT64_MAX,
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

    /* A time that far from now would overflow. */
    *ret_usec = sum > INT64_MAX / 2 ? UINT64_MAX : sum;
    return 0;
}

static int set_idle_exit(Config *c, const char *value)
{
    uint64_t usec;

    if (config_parse_span(value, &usec) < 0)
        return -EINVAL;
    /* Otherwise a connect storm would stop and start the service again and again. */
    if (usec > 0 && usec < IDLE_EXIT_SEC_MIN * USEC_PER_SEC)
        return -EINVAL;
    c->idle_exit_usec = usec > 0 ? usec : UINT64_MAX;
    return 0;
}

static int set_retire(Config *c, const char *value)
{
    return config_parse_span(value, &c->retire_usec);
}

static int set_provision(Config *c, const char *value)
{
    bool on_demand = strcmp(value, "on-demand") == 0;

    if (!on_demand && strcmp(value, "resident") != 0)
        return -EINVAL;
    c->on_demand = on_demand;
    return 0;
}

/* The kernel counts in whole seconds. */
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

static int set_restart_tlshd(Config *c, const char *value)
{
    return parse_bool(value, &c->restart_tlshd);
}

static int set_negative_timeout(Config *c, const char *value)
{
    return parse_seconds(value, USEC_PER_SEC, HOUR_USEC, &c->negative_timeout_sec);
}

static int set_allow_null_key(Config *c, const char *value)
{
    return parse_bool(value, &c->allow_null_key);
}

/* The empty value restores the default, as with lists in systemd. An invalid value closes all ways,
 * so that a typo never opens more than the right value would. */
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
    strcpy(c->store_id, CONFIG_STORE_ID_BAD);
    if (value[0] && !text_is_hex(value, CONFIG_STORE_ID_SIZE - 1))
        return -EINVAL;
    strcpy(c->store_id, value);
    return 0;
}

static int set_other_counters(Config *c, const char *value)
{
    return parse_bool(value, &c->other_counters);
}

static int set_export(Config *c, const char *value)
{
    return parse_bool(value, &c->export_keys);
}

static int set_guard(Config *c, const char *value)
{
    return parse_bool(value, &c->guard);
}

static int set_foreign(Config *c, const char *value)
{
    bool displace = strcmp(value, "displace") == 0;

    if (!displace && strcmp(value, "warn") != 0)
        return -EINVAL;
    c->displace_foreign = displace;
    return 0;
}

/* 0 would make every key too old. */
static int set_max_age(Config *c, const char *value)
{
    uint64_t usec;

    if (config_parse_span(value, &usec) < 0 || usec == 0)
        return -EINVAL;
    c->max_age_usec = usec;
    return 0;
}

static int set_stand_in(Config *c, const char *value)
{
    return parse_bool(value, &c->stand_in);
}

#define YES_OR_NO "yes or no"

static const struct {
    const char *section, *option;
    int (*set)(Config *c, const char *value);
    const char *allowed;
} options[] = {
    {"Manager", "IdleExitSec", set_idle_exit,
     "a time of " STRINGIFY(IDLE_EXIT_SEC_MIN) "s or more, or 0 or infinity to stay"},
    {"Manager", "RetireSec", set_retire, "a time such as 1d or \"1h 30min\", or infinity"},
    {"Manager", "Provision", set_provision, "resident or on-demand"},
    {"Manager", "OnDemandTimeoutSec", set_on_demand_timeout,
     "a time from " STRINGIFY(ON_DEMAND_SEC_MIN) "s to 1d"},
    {"Manager", "OnDemandForce", set_on_demand_force, YES_OR_NO},
    {"Manager", "RestartTlshd", set_restart_tlshd, YES_OR_NO},
    {"Manager", "MaxAgeSec", set_max_age, "a time such as 90d, or infinity"},
    {"Manager", "Export", set_export, YES_OR_NO},
    {"Upcall", "NegativeTimeoutSec", set_negative_timeout, "a time from 1s to 1h"},
    {"Keyring", "Guard", set_guard, YES_OR_NO},
    {"Keyring", "Foreign", set_foreign, "warn or displace"},
    {"Keyring", "StandIn", set_stand_in, YES_OR_NO},
    {"Store", "AllowNullKey", set_allow_null_key, YES_OR_NO},
    {"Store", "OpenBy", set_open_by,
     "tpm2, recovery, systemd-creds or systemd-creds:KEY, separated by blanks; until then no store "
     "opens"},
    {"Store", "Id", set_store_id,
     "the id that nvme-keyctl status shows; until then no store opens"},
    {"Store", "OtherCounters", set_other_counters, YES_OR_NO},
};

/* The index of an option in the table; the size of the table for an unknown one. */
static size_t find_option(const char *section, const char *option)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(options) &&
           (strcmp(options[i].section, section) != 0 || strcmp(options[i].option, option) != 0))
        i++;
    return i;
}

int config_set(Config *c, const char *section, const char *option, const char *value)
{
    size_t i = find_option(section, option);

    return i < ARRAY_SIZE(options) ? options[i].set(c, value) : -ENOENT;
}

const char *config_allowed(const char *section, const char *option)
{
    size_t i = find_option(section, option);

    return i < ARRAY_SIZE(options) ? options[i].allowed : NULL;
}

static int set_option(void *target, const char *section, const char *option, const char *value)
{
    return config_set(target, section, option, value);
}

void config_load_from(const char *const *directories, Config *ret, ConfigProblems *ret_problems)
{
    const ConfigForm form = {.set = set_option, .allowed = config_allowed, .target = ret};

    *ret = config_default;
    config_file_load(directories, NAMES_CONFIG_NAME, &form, ret_problems);
}

void config_load(const char *path, Config *ret, ConfigProblems *ret_problems)
{
    static const char *const system[] = {NAMES_CONFIG_DIRECTORIES, NULL};
    const ConfigForm form = {.set = set_option, .allowed = config_allowed, .target = ret};

    if (!path) {
        config_load_from(system, ret, ret_problems);
        return;
    }
    *ret = config_default;
    config_file_load_path(path, &form, ret_problems);
}
