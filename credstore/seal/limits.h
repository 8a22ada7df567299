/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/limits.h"

/* Store and key-encryption keys. */
#define STORE_KEY_SIZE 32
#define STORE_SLOTS_MAX 16

/* systemd-creds may wait for a TPM; a discrete one took up to 11 s for one unseal. */
#define SEAL_TIMEOUT_USEC (60 * USEC_PER_SEC)

/* PCRs in a bank of a PC client TPM. */
#define TPM2_PCRS 24
