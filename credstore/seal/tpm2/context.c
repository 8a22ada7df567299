/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "basic/detail.h"
#include "basic/io.h"
#include "basic/text.h"
#include "credstore/seal/limits.h"
#include "credstore/seal/tpm2/context.h"

#define LOG_LEVEL "all+NONE"

/* The error number and format bit of a response code of format one; the other bits name a
 * parameter. */
#define FMT1_MASK (TPM2_RC_FMT1 | 0x3f)

typedef struct Reason {
    TSS2_RC code;
    int error;
    const char *text;
} Reason;

static const Reason reasons[] = {
    {TPM2_RC_INTEGRITY, -EKEYREJECTED,
     "this is another TPM, it was cleared, or the slot is damaged"},
    {TPM2_RC_LOCKOUT, -EKEYREJECTED,
     "the TPM is in lockout after too many wrong passwords; it lifts with time or by its owner"},
    {TPM2_RC_AUTH_FAIL, -EKEYREJECTED, "the storage root key has a password"},
    {TPM2_RC_BAD_AUTH, -EKEYREJECTED, "the storage root key has a password"},
    {TSS2_ESYS_RC_RSP_AUTH_FAILED, -EKEYREJECTED,
     "the response is not authentic: something on the way from the TPM changed it"},
    {TPM2_RC_SIZE, -EBADMSG, "the TPM cannot read the sealed key"},
    {TPM2_RC_INSUFFICIENT, -EBADMSG, "the TPM cannot read the sealed key"},
    {TPM2_RC_SYMMETRIC, -EOPNOTSUPP, "the TPM has no AES-128-CFB"},
    {TPM2_RC_MODE, -EOPNOTSUPP, "the TPM has no AES-128-CFB"},
    {TPM2_RC_NV_SPACE, -ENOSPC, "the TPM has no room left in its memory"},
    {TPM2_RC_NV_RATE, -EBUSY, "the TPM limits how often its memory is written; try later"},
    {TPM2_RC_HIERARCHY, -EOPNOTSUPP, "the TPM's owner hierarchy is disabled"},
    {TSS2_ESYS_RC_MEMORY, -ENOMEM, "out of memory"},
};

static const char *tcti_conf(void)
{
    const char *conf = secure_getenv(TPM2_ENV_TCTI);

    return conf && *conf ? conf : TPM2_TCTI_DEFAULT;
}

int tpm2_device_check(void)
{
    const char *device = text_after(tcti_conf(), "device:");
    const char *socket = text_after(tcti_conf(), "swtpm:path=");
    _cleanup_(closep) int fd = -EBADF;

    if (socket)
        return faccessat(AT_FDCWD, socket, R_OK | W_OK, AT_EACCESS) < 0 ? -errno : 0;
    if (!device)
        return -EOPNOTSUPP;

    /* access(2) would ignore the device control group of the unit. */
    fd = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == EPERM ? -EACCES : -errno;
    return 0;
}

void tpm2_silence(void)
{
    const char *level = getenv("TSS2_LOG");

    if (!level || strcmp(level, LOG_LEVEL) != 0)
        (void)setenv("TSS2_LOG", LOG_LEVEL, true);
}

static int device_require(char **reterr_detail)
{
    int r = tpm2_device_check();

    switch (r) {
    case 0:
    case -EOPNOTSUPP:
        return 0;
    case -EACCES:
        return detail_set(reterr_detail, r, "no permission to open the TPM (%s)", tcti_conf());
    default:
        return detail_set(reterr_detail, -ENODEV, "there is no TPM (%s): %s", tcti_conf(),
                          strerror(-r));
    }
}

int tpm2_context_open(char **reterr_detail, Tpm2Context **ret)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    TSS2_RC rc;
    int r;

    r = device_require(reterr_detail);
    if (r < 0)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->deadline_usec = now_monotonic() + SEAL_TIMEOUT_USEC;
    c->reterr_detail = reterr_detail;

    tpm2_silence();
    rc = Tss2_TctiLdr_Initialize(tcti_conf(), &c->tcti);
    if (rc != TSS2_RC_SUCCESS)
        return detail_set(
            reterr_detail, -ENODEV,
            "cannot reach the TPM (%s): it does not answer, or its TCTI library is missing",
            tcti_conf());
    r = tpm2_check(c, Esys_Initialize(&c->esys, c->tcti, NULL), "start ESYS");
    if (r < 0)
        return r;

    *ret = TAKE_PTR(c);
    return 0;
}

Tpm2Context *tpm2_context_close(Tpm2Context *c)
{
    if (!c)
        return NULL;
    if (c->esys)
        Esys_Finalize(&c->esys);
    if (c->tcti)
        Tss2_TctiLdr_Finalize(&c->tcti);
    free(c);
    return NULL;
}

/* Strips the parameter from a response code of a TPM; codes of libraries stay as they are. */
static TSS2_RC rc_code(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return rc;
    rc &= ~TSS2_RC_LAYER_MASK;
    return rc & TPM2_RC_FMT1 ? rc & FMT1_MASK : rc;
}

bool tpm2_rc_is(TSS2_RC rc, TPM2_RC code)
{
    return rc_code(rc) == code;
}

int tpm2_check(Tpm2Context *c, TSS2_RC rc, const char *what)
{
    if (tpm2_rc_is(rc, TPM2_RC_PCR_CHANGED))
        return -EAGAIN;
    if (rc != TSS2_RC_SUCCESS) {
        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
            if (reasons[i].code == rc_code(rc))
                return detail_set(c->reterr_detail, reasons[i].error, "cannot %s: %s", what,
                                  reasons[i].text);
        return detail_set(c->reterr_detail, -EIO, "cannot %s: %s (0x%x)", what, Tss2_RC_Decode(rc),
                          rc);
    }
    if (now_monotonic() > c->deadline_usec)
        return detail_set(c->reterr_detail, -ETIMEDOUT, "the TPM took too long to %s", what);
    return 0;
}

void tpm2_transient_flush(Tpm2Transient *t)
{
    if (t->tr != ESYS_TR_NONE)
        (void)Esys_FlushContext(t->esys, t->tr);
}
