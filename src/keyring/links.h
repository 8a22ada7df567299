/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Reads the serials of all that a keyring leads to. Free *ret. Returns -ENOMEM or the error of
 * keyctl_read(3). */
int links_read(int32_t keyring, int32_t **ret, size_t *ret_n) _must_check_;
