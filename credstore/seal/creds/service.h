/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"

/*
 * io.systemd.Credentials, the Varlink service of systemd 256 and newer: what systemd-creds(1) does,
 * in a process that has the TPM and the host key whatever our sandbox is. deadline_usec is
 * CLOCK_MONOTONIC; only the wait for a connection, 45 s at most, does not heed it.
 *
 * Both return -EOPNOTSUPP when the service is not there, does not know what was asked of it, does
 * not serve us, or fails without a word about the credential: another way may do. -EKEYREJECTED is
 * its last word on the credential, -EBADMSG a reply that makes no sense; -ETIMEDOUT and -ENOMEM
 * come without a detail, as -EOPNOTSUPP does where there is no such socket.
 */

/* Seals kek as the credential "nvme-keyd.kek" with the key that the service picks ("auto"). Until
 * systemd 257 a TPM2 binds it to PCR 7, and the service cannot be asked for anything else. The
 * caller frees the text, which is on one line. */
int creds_service_encrypt(const char *path, const Secret *kek, uint64_t deadline_usec,
                          char **ret_credential, char **reterr_detail) _must_check_;

/* null: the credential is sealed with no key, and that is wanted. *ret has STORE_KEY_SIZE bytes. */
int creds_service_decrypt(const char *path, const char *credential, bool null,
                          uint64_t deadline_usec, Secret **ret, char **reterr_detail) _must_check_;
