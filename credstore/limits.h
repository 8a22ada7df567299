/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "credstore/seal/limits.h"

/* One record: metadata with two NQNs and a comment, and a sealed PSK with its derived keys. */
#define STORE_RECORD_MAX ((size_t)16 * 1024)
/* Some 300,000 keys. All of it is in memory. */
#define STORE_FILE_MAX ((size_t)256 * 1024 * 1024)
/* Slots hold a systemd credential each (up to a few kilobytes with TPM data). */
#define STORE_HEADER_MAX ((size_t)256 * 1024)
/* An export for a boot image, which has to fit in there. Some 40,000 keys. */
#define STORE_EXPORT_MAX ((size_t)32 * 1024 * 1024)
/* Counters that wait to be removed from a TPM, which has room for few more in all. */
#define STORE_ORPHANS_MAX 16
