/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"
#include "basic/secret.h"
#include "credstore/seal/creds/blob.h"

/*
 * Runs systemd-creds(1), of systemd 251 and newer, at path. deadline_usec is CLOCK_MONOTONIC. Both
 * return -EREMOTEIO if it refuses, and errors of spawn_filter(), with a detail for all but
 * -ETIMEDOUT and -ENOMEM.
 */

/* Seals kek as the credential "nvme-keyd.kek", to no PCR. with_key is its --with-key=. The caller
 * frees the text, which is one line. */
int creds_program_encrypt(const char *path, const Secret *kek, const char *with_key,
                          uint64_t deadline_usec, char **ret_credential, char **reterr_detail)
    _must_check_;

int creds_program_decrypt(const char *path, const CredsSealed *sealed, uint64_t deadline_usec,
                          Secret **ret, char **reterr_detail) _must_check_;
