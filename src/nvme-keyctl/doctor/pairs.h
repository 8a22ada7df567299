/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/doctor.h"

/* The active keys, sorted by the text "HOSTNQN SUBNQN". The kernel could take a key for another one
 * whose text begins with its own; in this order it stands before that one. */

typedef struct Pair {
    char *text;       /* "HOSTNQN SUBNQN" */
    json_object *key; /* borrowed */
} Pair;

typedef struct Pairs {
    Pair *items;
    size_t n;
} Pairs;

void pairs_done(Pairs *p);

/* Takes the keys of List for which doctor_key_is() is true. Returns -ENOMEM. */
int pairs_read(const Doctor *d, bool of_host, Pairs *ret) _must_check_;

/* A key of the pair, or NULL. */
json_object *pairs_find(const Pairs *p, const char *hostnqn, const char *subsysnqn);
