/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <tss2/tss2_esys.h>

/*
 * Changes responses of the TPM, as a device on its bus could. A program that is linked with this
 * uses its Esys_Initialize() instead of the library's.
 */
typedef struct Interposer {
    TPM2_CC command; /* change the response to this; 0 for none */
    size_t offset;   /* change this byte */
    size_t size;     /* of the last response to that command */
    TPM2_CC current;
    TSS2_TCTI_TRANSMIT_FCN transmit; /* of the library */
    TSS2_TCTI_RECEIVE_FCN receive;
} Interposer;

extern Interposer interposer;
