/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* Has OpenSSL wipe all memory that it frees, because it copies secrets to its heap. To be called
 * before any other function of OpenSSL. Returns 0, or -EIO if it comes too late. */
int crypto_memory_init(void) _must_check_;
