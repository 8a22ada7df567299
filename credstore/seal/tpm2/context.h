/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <tss2/tss2_esys.h>

#include "basic/macro.h"
#include "credstore/seal/environment.h"

/*
 * One conversation with the TPM through ESYS. The device is open no longer than needed, because its
 * close frees everything that a resource manager holds for us.
 *
 * A TPM command cannot be interrupted once it is sent: write(2) to the device waits for it in the
 * kernel, and so does close(2), and the TCTIs ignore the timeouts of ESYS. So the deadline of a
 * conversation is checked only between commands. A TPM that does not answer at all needs the limit
 * of the parent: the conversation runs in a process of its own, which is killed. That process dies
 * when the driver gives up, after minutes at worst, so the parent should not wait for it. Objects
 * that it had loaded in the TPM die with it.
 */

/* The defaults of tctildr would end in simulators on the network. */
#define TPM2_TCTI_DEFAULT "device:/dev/tpmrm0"

typedef struct Tpm2Context {
    ESYS_CONTEXT *esys;
    TSS2_TCTI_CONTEXT *tcti;
    uint64_t deadline_usec;
    char **reterr_detail; /* borrowed */
} Tpm2Context;

/* Checks that the device or socket of the TCTI exists and may be opened, without a TPM command.
 * Returns the error of open(2), e.g. -ENOENT or -EACCES, and -EOPNOTSUPP for a TCTI without a
 * path. */
int tpm2_device_check(void) _must_check_;

/* Keeps the TSS from writing to standard error, whatever TSS2_LOG says, because its deeper levels
 * print keys. The environment is the only switch, and the first call sets it, so call it before
 * other threads read the environment. */
void tpm2_silence(void);

/* Opens the TPM. *reterr_detail, if not NULL, gets the detail of each failure up to the close.
 * Returns -ENODEV if there is no TPM or it does not answer, -EACCES, -ENOMEM. */
int tpm2_context_open(char **reterr_detail, Tpm2Context **ret) _must_check_;

/* Accepts NULL; returns NULL. The allocator that secret_memory_init() sets up overwrites the copies
 * that ESYS made of a secret. */
Tpm2Context *tpm2_context_close(Tpm2Context *c);
DEFINE_CLEANUP(Tpm2Context, tpm2_context_close)

/* Converts the result of an ESYS call to an errno, and sets the detail: "cannot WHAT: CAUSE".
 * Returns 0, -ETIMEDOUT past the deadline of c even if the call succeeded, -EKEYREJECTED (another
 * TPM, lockout, a password, a response that is not authentic), -EBADMSG, -EOPNOTSUPP, -ENOSPC and
 * -EBUSY (the memory of the TPM), -ENOMEM, -EIO for the rest, and without a detail -EAGAIN (a PCR
 * changed within the policy session). */
int tpm2_check(Tpm2Context *c, TSS2_RC rc, const char *what);

/* Whether rc is that response code of the TPM, for any of its parameters. */
bool tpm2_rc_is(TSS2_RC rc, TPM2_RC code);

/* Frees memory of ESYS that has no secret. */
static inline void esys_freep(void *p)
{
    Esys_Free(*(void **)p);
}

/* A transient object or a session, flushed at the end of its scope. tr is ESYS_TR_NONE if there is
 * none. */
typedef struct Tpm2Transient {
    ESYS_CONTEXT *esys;
    ESYS_TR tr;
} Tpm2Transient;

#define TPM2_TRANSIENT(c)                                                                          \
    {                                                                                              \
        .esys = (c)->esys, .tr = ESYS_TR_NONE                                                      \
    }

void tpm2_transient_flush(Tpm2Transient *t);
