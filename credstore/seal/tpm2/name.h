/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "credstore/seal/limits.h"

/* Names of keys and indices of a TPM, for code without the headers of the TSS. */

/* The longest name of a key or an index: an algorithm and a digest. */
#define TPM2_NAME_MAX 68

typedef struct Tpm2Name {
    size_t size;
    uint8_t data[TPM2_NAME_MAX];
} Tpm2Name;

/* The storage root keys that a store knows: one for each slot, and that of its counter. */
typedef struct Tpm2Names {
    size_t n;
    Tpm2Name names[STORE_SLOTS_MAX + 1];
} Tpm2Names;
