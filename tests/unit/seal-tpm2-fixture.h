/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/json.h"
#include "basic/secret.h"
#include "credstore/seal/seal-type.h"

/* A KEK, and the slot in which the TPM seals it. Starts as {}. */
typedef struct Fixture {
    SlotOptions options;
    Secret *kek;
    Secret *again; /* the last unsealed one */
    json_object *slot;
    char *detail;
} Fixture;

/* Frees it and prints the last detail as a diagnostic. */
void fixture_done(Fixture *f);

/* Seals the KEK, by default a random one, in a new slot. Returns errors of the slot type. */
int fixture_seal(Fixture *f);
int fixture_unseal(Fixture *f);

/* A set of PCRs as an option. */
#define PCRS(set)                                                                                  \
    {                                                                                              \
        .pcrs_given = true, .pcrs = (set)                                                          \
    }
#define PCR(n) (UINT32_C(1) << (n))

/* The text of a member of the slot; NULL if it is missing. */
const char *member(json_object *slot, const char *key);
