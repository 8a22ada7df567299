/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <tss2/tss2_tpm2_types.h>

#include "basic/macro.h"

/* The public area of a counter, which names its store: the policy digest consists of a mark, the
 * identity of the store and random bytes. So no two counters have the same name, and nothing
 * satisfies the policy. */

/* nonce: the random bytes. Returns -EINVAL (owner is no id). */
int tpm2_counter_public(const char *owner, uint32_t index, uint64_t nonce, TPM2B_NV_PUBLIC *ret)
    _must_check_;
