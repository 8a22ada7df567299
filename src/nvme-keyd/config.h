/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "credstore/store.h"

/* What store_id is after a value that makes no sense. */
#define CONFIG_STORE_ID_BAD "?"

/* nvme-keyd.conf(5). */
typedef struct Config {
    uint64_t idle_exit_usec; /* UINT64_MAX: never */
    uint64_t retire_usec;    /* how long a target accepts a PSK that was rotated away */
    unsigned negative_timeout_sec;
    bool on_demand; /* keys of hosts are published when the kernel asks, for on_demand_sec */
    unsigned on_demand_sec;
    bool on_demand_force;          /* also on a kernel that is not known to ask */
    bool restart_handshake_daemon; /* when it does not have the keyring */
    bool allow_null_key; /* open and make systemd credentials that are sealed with no key */
    /* WAY_*: must not open the store. All of them after a value that makes no sense. */
    unsigned closed_ways;
    /* The one that is expected, or "" for any. One that no store has after a value that makes no
     * sense. */
    char store_id[STORE_IDENTITY_SIZE];
    bool other_counters; /* the TPM may have rollback counters of other stores */
    bool stand_in; /* a keyring of our own and key type `user` in place of `.nvme` and `psk` */
} Config;

/* The built-in defaults. */
extern const Config config_default;

/* Reads path, if it exists, and then path.d/ *.conf in the order of their names, over the defaults.
 * An unknown section or option is passed over with a warning; a value that makes no sense is one
 * line of *reterr_detail, with file and line, to be freed. Returns 0, -EINVAL or an I/O error. */
int config_load(const char *path, Config *ret, char **reterr_detail) _must_check_;

/* Sets one option, as the file does; for tests and fuzzing. Returns -EINVAL, -ENOENT (unknown). */
int config_set(Config *c, const char *section, const char *option, const char *value) _must_check_;

/* Parses a time span as systemd.time(7) writes it: a sum of numbers, each with a unit
 * (us ms s min h d w; seconds without one), or "infinity". */
int config_parse_span(const char *s, uint64_t *ret_usec) _must_check_;
