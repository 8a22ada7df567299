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
    bool on_demand_force; /* also on a kernel that is not known to ask */
    bool restart_tlshd;   /* when it does not have the keyring */
    bool allow_null_key;  /* open and make systemd credentials that are sealed with no key */
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

/* Sets one option, as the file does. Returns -EINVAL or -ENOENT (unknown); then c is as it was, but
 * for OpenBy= and Id=, with which no store opens then. */
int config_set(Config *c, const char *section, const char *option, const char *value) _must_check_;

/* What an option may be, in words behind "give". NULL for an unknown option. */
const char *config_allowed(const char *section, const char *option);

/* Parses a time span as systemd.time(7) writes it: a sum of numbers, each with a unit
 * (us ms s min h d w; seconds without one), or "infinity". */
int config_parse_span(const char *s, uint64_t *ret_usec) _must_check_;
