/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/creds/blob.h"

/*
 * io.systemd.Credentials, the Varlink service of systemd 256 and newer, does the work of
 * systemd-creds(1) in a process that has the TPM and the host key, whatever our sandbox is.
 * deadline_usec is CLOCK_MONOTONIC; only the wait for a connection, 45 s at most, ignores it.
 *
 * Both return -EOPNOTSUPP if the service is absent, does not know the call, does not serve us, or
 * fails without a verdict on the credential: then the program may succeed. -EKEYREJECTED is its
 * verdict on the credential, -EBADMSG a malformed reply. -ETIMEDOUT and -ENOMEM have no detail, nor
 * has -EOPNOTSUPP if there is no such socket.
 */

/* Seals kek as the credential "nvme-keyd.kek" by the key that the service picks ("auto"). Up to
 * systemd 257 a TPM2 binds it to PCR 7, and the call has no option to change that. The caller frees
 * the text, which is one line. */
int creds_service_encrypt(const char *path, const Secret *kek, uint64_t deadline_usec,
                          char **ret_credential, char **reterr_detail) _must_check_;

int creds_service_decrypt(const char *path, const CredsSealed *sealed, uint64_t deadline_usec,
                          Secret **ret, char **reterr_detail) _must_check_;
