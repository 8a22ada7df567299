/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dlfcn.h>

#include "tpm2-interposer.h"

Interposer interposer;

static TSS2_RC interposer_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command)
{
    /* Tag, size, command code. */
    if (size >= 10)
        interposer.current = (TPM2_CC)command[6] << 24 | (TPM2_CC)command[7] << 16 |
                             (TPM2_CC)command[8] << 8 | command[9];
    return interposer.transmit(tcti, size, command);
}

static TSS2_RC interposer_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response,
                                  int32_t timeout)
{
    TSS2_RC rc = interposer.receive(tcti, size, response, timeout);

    if (rc == TSS2_RC_SUCCESS && response && interposer.current == interposer.command) {
        interposer.size = *size;
        if (interposer.offset < *size)
            response[interposer.offset] ^= 0x01;
    }
    return rc;
}

TSS2_RC Esys_Initialize(ESYS_CONTEXT **ret, TSS2_TCTI_CONTEXT *tcti, TSS2_ABI_VERSION *version)
{
    __typeof__(Esys_Initialize) *real;

    *(void **)&real = dlsym(RTLD_NEXT, "Esys_Initialize");
    interposer.transmit = TSS2_TCTI_TRANSMIT(tcti);
    interposer.receive = TSS2_TCTI_RECEIVE(tcti);
    TSS2_TCTI_TRANSMIT(tcti) = interposer_transmit;
    TSS2_TCTI_RECEIVE(tcti) = interposer_receive;
    return real(ret, tcti, version);
}
