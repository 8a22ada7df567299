/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/*
 * Takes PSKs ("NVMeTLSkey-") and other NVMe secrets ("DHHC-1:") out of a text that comes in pieces.
 * All that follows such a beginning, up to a character that cannot be part of the secret, becomes
 * asterisks. Starts as zeroes.
 */
typedef struct Redact {
    size_t psk, other; /* matched so far of each beginning */
    size_t length;     /* of the secret so far, with 1 for its beginning; 0 outside one */
    int is_psk;
    unsigned n_psks; /* that were long enough to be one */
} Redact;

/* Works in place. */
void redact(Redact *r, char *data, size_t size);
/* Call it after the last piece. */
void redact_end(Redact *r);
