/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "nvme-keyd/keys/key-table.h"

/* Keys that cannot be used, and what to tell people about them. */

/* How many keys are broken. Linear. */
size_t broken_count(const KeyTable *keys);

/* Logs each of them, up to BROKEN_LOGGED_MAX: in an initramfs these lines go to a console. Then
 * how many there are and what to do, if there are any. Returns that number. */
#define BROKEN_LOGGED_MAX 20
size_t broken_log(const KeyTable *keys);

/* Why the secret of a key could not be read, as one line, to be freed; NULL without memory. */
char *broken_explain(const Key *k, int error);
