/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NVMe Base Specification 2.0, 4.5: a qualified name has at most 223 bytes. */
#define NQN_LENGTH_MAX 223
/* "nqn." and at least one character more. */
#define NQN_LENGTH_MIN 5

/* "NVMe1R02 " + two NQNs with a blank each + a Base64 SHA-384 digest. */
#define PSK_IDENTITY_MAX (9 + 2 * (NQN_LENGTH_MAX + 1) + 64)
/* SHA-384 output; configured, retained and TLS PSKs are 32 or 48 bytes. */
#define PSK_SIZE_MAX 48
/* "NVMeTLSkey-1:02:" + Base64 of 48 + 4 bytes + ":". */
#define PSK_INTERCHANGE_MAX 89
