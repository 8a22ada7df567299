/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/doctor.h"

/* The active keys by host and subsystem, in the order of "HOSTNQN SUBNQN", so that one which the
 * kernel could take for others stands before them. */

typedef struct Pair {
    char *text;       /* "HOSTNQN SUBNQN" */
    json_object *key; /* borrowed */
} Pair;

typedef struct Pairs {
    Pair *items;
    size_t n;
} Pairs;

void pairs_done(Pairs *p);

/* Keys of List that doctor_key_is(), of a host or of a target. Returns -ENOMEM. */
int pairs_read(const Doctor *d, bool of_host, Pairs *ret) _must_check_;

/* A key of the pair, or NULL. */
json_object *pairs_find(const Pairs *p, const char *hostnqn, const char *subsysnqn);
