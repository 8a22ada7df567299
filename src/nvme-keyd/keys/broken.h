/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-table.h"

/* Broken keys, and how they are explained to people. */

/* Counts the broken keys. Linear. */
size_t broken_count(const KeyTable *keys);

/* Logs each broken key, up to BROKEN_LOGGED_MAX because in an initramfs these lines go to a
 * console, then their number and what to do. Returns the number. */
#define BROKEN_LOGGED_MAX 20
size_t broken_log(const KeyTable *keys);

/* Explains in one line, to be freed, why the secret of a key could not be read; NULL without
 * memory. */
char *broken_explain(const Key *k, int error);
