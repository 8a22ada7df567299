/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvme-keyd/vault/seal-job.h"
#include "basic/names.h"
#include "credstore/seal/environment.h"
#include "credstore/seal/helper.h"

/* Variables that slot types read. */
static const char *const variables[] = {"CREDENTIALS_DIRECTORY",
                                        NAMES_ENV_CREDENTIALS,
                                        TPM2_ENV_TCTI,
                                        CREDS_ENV_SOCKET,
                                        "TSS2_LOG",
                                        NULL};

int seal_job_start(sd_event *event, uint64_t limit_usec, const Secret *request, JobDone done,
                   void *userdata, Job **ret)
{
    const JobKind kind = {SEAL_JOB_OPTION, variables, limit_usec};

    /* NOLINTNEXTLINE(misc-redundant-expression): they are the same today */
    _Static_assert(SEAL_REQUEST_MAX <= JOB_SECRET_MAX, "a job takes each request");
    return job_start(event, &kind, request, NULL, 0, done, userdata, ret);
}

static int work(const Secret *secret, _unused_ const void *data, _unused_ size_t size,
                Secret **ret_output, char **reterr_detail)
{
    return seal_work(secret->data, secret->size, ret_output, reterr_detail);
}

int seal_job_main(void)
{
    return job_helper_main(work);
}
