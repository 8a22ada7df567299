/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "credstore/seal/tpm2/context.h"
#include "test.h"

TEST(device_check)
{
    setenv(TPM2_ENV_TCTI, "device:/nonexistent/tpmrm0", true);
    ASSERT_EQ(tpm2_device_check(), -ENOENT);
    setenv(TPM2_ENV_TCTI, "device:/dev/null", true);
    ASSERT_OK(tpm2_device_check());
    setenv(TPM2_ENV_TCTI, "mssim", true);
    ASSERT_EQ(tpm2_device_check(), -EOPNOTSUPP);
    unsetenv(TPM2_ENV_TCTI);
    ASSERT_EQ(tpm2_device_check(), access("/dev/tpmrm0", R_OK | W_OK) < 0 ? -errno : 0);
}

static int run_as_nobody(int (*fn)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ? 255
                                                                                       : -fn());
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

TEST(device_check_without_permission)
{
    if (geteuid() != 0)
        TEST_SKIP("not root");
    setenv(TPM2_ENV_TCTI, "device:/etc/shadow", true);
    ASSERT_EQ(run_as_nobody(tpm2_device_check), -EACCES);
    unsetenv(TPM2_ENV_TCTI);
}

TEST(errors_of_the_tpm)
{
    static const struct {
        TSS2_RC rc;
        int error;
    } expected[] = {
        {0x1df, -EKEYREJECTED}, /* INTEGRITY, parameter 1 */
        {0x921, -EKEYREJECTED}, /* LOCKOUT */
        {0x98e, -EKEYREJECTED}, /* AUTH_FAIL, session 1 */
        {0x9a2, -EKEYREJECTED}, /* BAD_AUTH, session 1 */
        {0x1d5, -EBADMSG},      /* SIZE, parameter 1 */
        {0x2d6, -EOPNOTSUPP},   /* SYMMETRIC, parameter 2 */
        {0x14b, -ENOSPC},       /* NV_SPACE */
        {0x920, -EBUSY},        /* NV_RATE */
        {0x101, -EIO},          /* FAILURE */
        {TSS2_RESMGR_TPM_RC_LAYER | 0x921, -EKEYREJECTED},
        {TSS2_ESYS_RC_RSP_AUTH_FAILED, -EKEYREJECTED},
        {TSS2_ESYS_RC_MEMORY, -ENOMEM},
        {TSS2_TCTI_RC_IO_ERROR, -EIO},
    };
    _cleanup_(freep) char *detail = NULL;
    Tpm2Context c = {.deadline_usec = UINT64_MAX, .reterr_detail = &detail};

    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        ASSERT_EQ(tpm2_check(&c, expected[i].rc, "test"), expected[i].error);
        ASSERT_TRUE(detail && strncmp(detail, "cannot test: ", 13) == 0 && strlen(detail) > 13);
        ASSERT_TRUE(!strchr(detail, '\n'));
    }
    ASSERT_OK(tpm2_check(&c, TSS2_RC_SUCCESS, "test"));
    ASSERT_EQ(tpm2_check(&c, 0x128 /* PCR_CHANGED */, "test"), -EAGAIN);
    c.deadline_usec = now_monotonic() - 1;
    ASSERT_EQ(tpm2_check(&c, TSS2_RC_SUCCESS, "test"), -ETIMEDOUT);
    ASSERT_STR(detail, "the TPM took too long to test");
}
