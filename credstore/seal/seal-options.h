/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct Tpm2Names;

/* Options of the administrator for a slot; all zero is the default. Borrows its strings. */
typedef struct SlotOptions {
    const char *comment; /* a line for people, or NULL */
    bool pcrs_given;
    uint32_t pcrs;    /* tpm2: a bit for each PCR to bind to, if given; else PCR 7 */
    const char *bank; /* tpm2: the bank of the PCRs, such as "sha384"; NULL: the best */
    bool bank_kept;   /* tpm2: another bank if that one does not fit */
    bool new_tpm;     /* tpm2: accept a TPM that the store does not know */
    const struct Tpm2Names *known_tpms; /* tpm2: accept only these; NULL or none: any */
    bool
        rollback_counter; /* tpm2: make a counter in the TPM that detects old copies of the store */
    unsigned closed_ways; /* WAY_*: those that must not open the store */
    const char *with_key; /* systemd-creds: the value of systemd-creds --with-key=; NULL: auto */
    bool skip_given;      /* systemd-creds: ignore the handed-in KEK */
    bool allow_null_key;  /* systemd-creds: although everyone can make such a credential */
} SlotOptions;
