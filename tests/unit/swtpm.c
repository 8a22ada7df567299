/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "credstore/seal/tpm2/context.h"
#include "credstore/seal/tpm2/srk.h"
#include "swtpm.h"
#include "tree.h"

void swtpm_stop(Swtpm *s)
{
    if (s->pid > 0) {
        (void)kill(s->pid, SIGTERM);
        (void)kill(s->pid, SIGCONT);
        (void)waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

void swtpm_freeze(const Swtpm *s)
{
    (void)kill(s->pid, SIGSTOP);
}

void swtpm_thaw(const Swtpm *s)
{
    (void)kill(s->pid, SIGCONT);
}

void swtpm_done(Swtpm *s)
{
    swtpm_stop(s);
    tree_remove(s->dir);
    unsetenv(TPM2_ENV_TCTI);
}

void swtpm_set_tcti(const Swtpm *s, const char *prefix)
{
    char conf[2 * SWTPM_DIRECTORY_MAX];

    snprintf(conf, sizeof(conf), "%sswtpm:path=%s/tpm", prefix, s->dir);
    setenv(TPM2_ENV_TCTI, conf, true);
}

static void swtpm_exec(const char *dir)
{
    char state[2 * SWTPM_DIRECTORY_MAX], control[2 * SWTPM_DIRECTORY_MAX],
        server[2 * SWTPM_DIRECTORY_MAX];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* If the test crashes, the kernel kills swtpm, even if it is frozen or busy. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(state, sizeof(state), "dir=%s", dir);
    snprintf(control, sizeof(control), "type=unixio,path=%s/tpm.ctrl", dir);
    snprintf(server, sizeof(server), "type=unixio,path=%s/tpm", dir);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--ctrl", control, "--server",
           server, "--flags", "not-need-init,startup-clear", (char *)NULL);
    _exit(127);
}

int swtpm_start(Swtpm *s)
{
    int status;

    if (s->dir[0] == '\0') {
        strcpy(s->dir, "/tmp/test-seal-tpm2.XXXXXX");
        if (!mkdtemp(s->dir))
            return -errno;
    }
    s->pid = fork();
    if (s->pid == 0)
        swtpm_exec(s->dir);

    swtpm_set_tcti(s, "");
    for (int i = 0; i < 6000; i++) {
        _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;

        if (tpm2_context_open(NULL, &c) == 0)
            return 0;
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -ECHILD;
        }
        usleep(10 * 1000);
    }
    return -ETIMEDOUT;
}

TSS2_RC pcr_extend(ESYS_CONTEXT *esys, ESYS_TR pcr, uint32_t n)
{
    TPML_DIGEST_VALUES digests = {
        .count = n,
        .digests = {{.hashAlg = TPM2_ALG_SHA1},
                    {.hashAlg = TPM2_ALG_SHA256},
                    {.hashAlg = TPM2_ALG_SHA384}},
    };

    return Esys_PCR_Extend(esys, pcr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digests);
}

TSS2_RC tpm_do(TSS2_RC (*fn)(ESYS_CONTEXT *esys))
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;

    if (tpm2_context_open(NULL, &c) < 0)
        return TSS2_ESYS_RC_IO_ERROR;
    return fn(c->esys);
}

TSS2_RC extend_pcr7(ESYS_CONTEXT *esys)
{
    return pcr_extend(esys, ESYS_TR_PCR7, 2);
}

TSS2_RC extend_pcr7_of_sha1(ESYS_CONTEXT *esys)
{
    return pcr_extend(esys, ESYS_TR_PCR7, 1);
}

TSS2_RC extend_pcr7_of_sha384(ESYS_CONTEXT *esys)
{
    TPML_DIGEST_VALUES digests = {.count = 1, .digests = {{.hashAlg = TPM2_ALG_SHA384}}};

    return Esys_PCR_Extend(esys, ESYS_TR_PCR7, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &digests);
}

static const TPM2B_SENSITIVE_CREATE no_secret;

static const TPM2B_DATA no_data;

static const TPML_PCR_SELECTION no_pcrs;

TSS2_RC persist_rsa(ESYS_CONTEXT *esys)
{
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_RSA,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED |
                                           TPMA_OBJECT_DECRYPT,
                       .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                              .keyBits.aes = 128,
                                                              .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .keyBits = 2048}}};
    ESYS_TR made, kept;
    TSS2_RC rc = Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &no_secret, &template, &no_data, &no_pcrs, &made,
                                    NULL, NULL, NULL, NULL);

    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_EvictControl(esys, ESYS_TR_RH_OWNER, made, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                               ESYS_TR_NONE, TPM2_SRK_HANDLE, &kept);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_FlushContext(esys, made);
    return rc;
}

TSS2_RC change_owner_auth(ESYS_CONTEXT *esys)
{
    static const TPM2B_AUTH password = {.size = 5, .buffer = "owner"};

    return Esys_HierarchyChangeAuth(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &password);
}

TSS2_RC clear_tpm(ESYS_CONTEXT *esys)
{
    return Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
}

TSS2_RC lock_out(ESYS_CONTEXT *esys)
{
    static const TPM2B_AUTH wrong = {.size = 5, .buffer = "wrong"};
    TPM2B_SENSITIVE_CREATE secret = {.sensitive = {.userAuth = {.size = 5, .buffer = "right"},
                                                   .data = {.size = 4, .buffer = {1, 2, 3, 4}}}};
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_USERWITHAUTH,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    ESYS_TR object;
    TSS2_RC rc =
        Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &secret, &template, &no_data, &no_pcrs, &object, NULL, NULL, NULL, NULL);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = Esys_TR_SetAuth(esys, object, &wrong);
    for (int i = 0; rc == TSS2_RC_SUCCESS && i < 64; i++) {
        TPM2B_SENSITIVE_DATA *data = NULL;

        if (tpm2_rc_is(
                Esys_Unseal(esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data),
                TPM2_RC_LOCKOUT))
            break;
    }
    return Esys_FlushContext(esys, object);
}

/* Makes this the only PCR bank from the next start on. */
static TSS2_RC allocate_bank(ESYS_CONTEXT *esys, TPMI_ALG_HASH bank)
{
    static const TPMI_ALG_HASH all[] = {TPM2_ALG_SHA1, TPM2_ALG_SHA256, TPM2_ALG_SHA384,
                                        TPM2_ALG_SHA512};
    TPML_PCR_SELECTION banks = {.count = ARRAY_SIZE(all)};
    TPMI_YES_NO done = TPM2_NO;
    uint32_t max, needed, available;
    TSS2_RC rc;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        banks.pcrSelections[i] = (TPMS_PCR_SELECTION){.hash = all[i], .sizeofSelect = 3};
        if (all[i] == bank)
            memset(banks.pcrSelections[i].pcrSelect, 0xff, 3);
    }
    rc = Esys_PCR_Allocate(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                           &banks, &done, &max, &needed, &available);
    return rc == TSS2_RC_SUCCESS && !done ? TPM2_RC_FAILURE : rc;
}

TSS2_RC allocate_sha1(ESYS_CONTEXT *esys)
{
    return allocate_bank(esys, TPM2_ALG_SHA1);
}

TSS2_RC allocate_sha384(ESYS_CONTEXT *esys)
{
    return allocate_bank(esys, TPM2_ALG_SHA384);
}

TSS2_RC allocate_sha512(ESYS_CONTEXT *esys)
{
    return allocate_bank(esys, TPM2_ALG_SHA512);
}

int count_handles(TPM2_HANDLE first)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    TPMI_YES_NO more;

    if (tpm2_context_open(NULL, &c) < 0 ||
        Esys_GetCapability(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                           first, 16, &more, &data) != TSS2_RC_SUCCESS)
        return -1;
    return (int)data->data.handles.count;
}

bool tpm_is_clean(void)
{
    return count_handles(TRANSIENTS) == 0 && count_handles(SESSIONS) == 0;
}

void flush_sessions(void)
{
    _cleanup_(tpm2_context_closep) Tpm2Context *c = NULL;
    _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;

    if (tpm2_context_open(NULL, &c) < 0 ||
        Esys_GetCapability(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                           SESSIONS, 16, NULL, &data) != TSS2_RC_SUCCESS)
        return;
    for (uint32_t i = 0; i < data->data.handles.count; i++) {
        TPM2_HANDLE handle = data->data.handles.handle[i];
        /* ESYS flushes only handles of its own, so this sends the command: tag, size,
         * TPM2_FlushContext, handle. */
        uint8_t command[] = {0x80,
                             0x01,
                             0,
                             0,
                             0,
                             14,
                             0,
                             0,
                             0x01,
                             0x65,
                             (uint8_t)(handle >> 24),
                             (uint8_t)(handle >> 16),
                             (uint8_t)(handle >> 8),
                             (uint8_t)handle};
        uint8_t response[64];
        size_t size = sizeof(response);

        if (Tss2_Tcti_Transmit(c->tcti, sizeof(command), command) == TSS2_RC_SUCCESS)
            (void)Tss2_Tcti_Receive(c->tcti, &size, response, TSS2_TCTI_TIMEOUT_BLOCK);
    }
}

bool file_contains(const char *path, const uint8_t *needle, size_t size)
{
    _cleanup_(freep) char *data = NULL;
    size_t n;

    return tree_read(path, &data, &n) == 0 && memmem(data, n, needle, size);
}
