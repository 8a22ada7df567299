/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct Tpm2Names;

/* What the administrator wants of a slot; all zero is the default. Borrows its strings. */
typedef struct SlotOptions {
    bool pcrs_given;
    uint32_t pcrs;    /* tpm2: a bit for each PCR to bind to, if given; else PCR 7 */
    const char *bank; /* tpm2: bind to the PCRs of that bank, such as "sha384"; NULL: the best */
    bool bank_kept;   /* tpm2: only if it will do */
    bool new_tpm;     /* tpm2: seal in a TPM that the store does not know too */
    const struct Tpm2Names *known_tpms; /* tpm2: seal in no other; NULL or none: in any */
    bool rollback_counter; /* tpm2: have a counter of the TPM tell old copies of the store */
    unsigned closed_ways;  /* WAY_*: those that must not open the store */
    const char *with_key;  /* systemd-creds: as systemd-creds --with-key= has it; NULL: auto */
    bool skip_given;       /* systemd-creds: not the credential that the unit was given */
    bool allow_null_key;   /* systemd-creds: although anybody can make such a credential */
} SlotOptions;
