/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <tss2/tss2_esys.h>

#include "basic/macro.h"

/*
 * One conversation with the TPM through ESYS. The device is opened as late and closed as early as
 * can be: what a resource manager holds for us goes with it.
 *
 * A TPM command, once sent, can be neither interrupted nor given up: write(2) to the device waits
 * for it in the kernel, and so does close(2). Timeouts of ESYS do not help: the TCTIs ignore them.
 * The deadline of a conversation is therefore looked at between commands only. Against a TPM that
 * does not answer at all, the limit is that of the parent: the conversation runs in a process of
 * its own, which is killed. The kernel lets it die when the driver gives up, after minutes at
 * worst, so the parent should not wait for that. What the process had loaded goes with it.
 */

/* Not tctildr's own order of defaults, which ends in simulators on the network. */
#define TPM2_TCTI_DEFAULT "device:/dev/tpmrm0"
/* Names another TCTI, e.g. "swtpm:path=/tmp/tpm", for tests; ignored where secure_getenv(3) does.
 */
#define TPM2_ENV_TCTI "NVME_KEYD_TCTI"

typedef struct Tpm2Context {
    ESYS_CONTEXT *esys;
    TSS2_TCTI_CONTEXT *tcti;
    uint64_t deadline_usec;
    char **reterr_detail; /* borrowed */
} Tpm2Context;

/* Whether the TCTI's device or socket is there and may be opened, without a word to the TPM.
 * Returns the error of open(2), e.g. -ENOENT or -EACCES, and -EOPNOTSUPP for a TCTI without a path.
 */
int tpm2_device_check(void) _must_check_;

/* Keeps the TSS from writing to standard error, whatever TSS2_LOG says: its deeper levels print
 * keys. The environment is the only way to tell it, and the first call changes that; so it should
 * come before other threads read the environment. */
void tpm2_silence(void);

/* Opens the TPM; what fails from here to the close is told in *reterr_detail, if not NULL.
 * Returns -ENODEV when there is no TPM or nobody answers, -EACCES, -ENOMEM. */
int tpm2_context_open(char **reterr_detail, Tpm2Context **ret) _must_check_;

/* Accepts NULL; returns NULL. What ESYS copied of a secret is overwritten by the allocator that
 * secret_memory_init() sets up. */
Tpm2Context *tpm2_context_close(Tpm2Context *c);
DEFINE_CLEANUP(Tpm2Context, tpm2_context_close)

/* The error of a call of ESYS, and the detail to it: what is the verb of "cannot ...".
 * Returns 0, -ETIMEDOUT past the deadline of c even if the call succeeded, -EKEYREJECTED
 * (another TPM, lockout, a password, a response not authentic), -EBADMSG, -EOPNOTSUPP, -ENOSPC and
 * -EBUSY (its memory), -ENOMEM, -EIO for the rest, and without a detail -EAGAIN (a PCR changed
 * within the policy session). */
int tpm2_check(Tpm2Context *c, TSS2_RC rc, const char *what);

/* Whether rc is that response code of the TPM, for whichever of its parameters. */
bool tpm2_rc_is(TSS2_RC rc, TPM2_RC code);

/* Frees what ESYS allocated, nothing secret. */
static inline void esys_freep(void *p)
{
    Esys_Free(*(void **)p);
}

/* A transient object or a session, flushed with its scope. tr is ESYS_TR_NONE for none. */
typedef struct Tpm2Transient {
    ESYS_CONTEXT *esys;
    ESYS_TR tr;
} Tpm2Transient;

#define TPM2_TRANSIENT(c)                                                                          \
    {                                                                                              \
        .esys = (c)->esys, .tr = ESYS_TR_NONE                                                      \
    }

void tpm2_transient_flush(Tpm2Transient *t);
