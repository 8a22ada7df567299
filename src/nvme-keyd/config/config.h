/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "nvme-keyd/config/config-file.h"

/* The id of a store, as nvme-keyctl status shows it: 32 lower-case hex digits and a NUL. */
#define CONFIG_STORE_ID_SIZE 33
/* store_id after an invalid value of Id=. */
#define CONFIG_STORE_ID_BAD "?"

/* nvme-keyd.conf(5). */
typedef struct Config {
    uint64_t idle_exit_usec; /* UINT64_MAX: never */
    uint64_t retire_usec;    /* how long a target accepts a PSK that was rotated away */
    unsigned negative_timeout_sec;
    bool on_demand; /* publish keys of hosts when the kernel asks, for on_demand_sec */
    unsigned on_demand_sec;
    bool on_demand_force; /* even if the kernel is not known to ask */
    bool restart_tlshd;   /* restart tlshd if it does not have the keyring */
    bool allow_null_key;  /* open and make systemd credentials that are sealed without a key */
    /* WAY_* bits that must not open the store; all of them after an invalid value. */
    unsigned closed_ways;
    /* The expected store, or "" for any; CONFIG_STORE_ID_BAD, which no store has, after an invalid
     * value. */
    char store_id[CONFIG_STORE_ID_SIZE];
    bool other_counters;   /* the TPM may have rollback counters of other stores */
    bool export_keys;      /* hand keys out to root, in the clear */
    bool guard;            /* put back what other programs take out of the ring */
    bool displace_foreign; /* unlink keys of other programs that the kernel could take for ours */
    uint64_t max_age_usec; /* warn about keys that are older; UINT64_MAX: never */
    bool stand_in; /* use a keyring of our own and key type `user` instead of `.nvme` and `psk` */
} Config;

/* The built-in defaults. */
extern const Config config_default;

/* Sets one option, as a line of the file does. Returns -EINVAL or -ENOENT (unknown); c is unchanged
 * then, except that an invalid OpenBy= or Id= keeps every store closed. */
int config_set(Config *c, const char *section, const char *option, const char *value) _must_check_;

/* The values that an option takes, as words that follow "give". NULL for an unknown option. */
const char *config_allowed(const char *section, const char *option);

/* Parses a time span as systemd.time(7) writes it: a sum of numbers, each with a unit
 * (us ms s min h d w; seconds without one), or "infinity". */
int config_parse_span(const char *s, uint64_t *ret_usec) _must_check_;

/* Reads nvme-keyd.conf and its drop-ins over the defaults, by config_file_load() (exceptions of its
 * rule about invalid lines: config_set()). *ret is always set. */
void config_load_from(const char *const *directories, Config *ret, ConfigProblems *ret_problems);

/* The same for the directories of the system if path is NULL; otherwise for path and path.d alone.
 */
void config_load(const char *path, Config *ret, ConfigProblems *ret_problems);
