/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-table.h"

/* Broken keys, and how they are explained to people. */

/* Counts the broken keys. Linear. */
size_t broken_count(const KeyTable *keys);

/* Explains in one line, to be freed, why the secret of a key could not be read; NULL without
 * memory. */
char *broken_explain(const Key *k, int error);
