/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Variables that slot types read, for tests; ignored where secure_getenv(3) does. */

/* Names another TCTI, e.g. "swtpm:path=/tmp/tpm". */
#define TPM2_ENV_TCTI "NVME_KEYD_TCTI"
/* Names another socket of systemd-creds. */
#define CREDS_ENV_SOCKET "NVME_KEYD_CREDS_SOCKET"
