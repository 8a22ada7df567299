/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "credstore/seal/limits.h"

/* One record: metadata with two NQNs and a comment, and a sealed PSK with its derived keys. */
#define STORE_RECORD_MAX ((size_t)16 * 1024)
/* One index shard at a million records. */
#define STORE_SHARD_MAX ((size_t)4 * 1024 * 1024)
/* Slots hold a systemd credential each (up to a few kilobytes with TPM data). */
#define STORE_HEADER_MAX ((size_t)256 * 1024)
/* A copy for a boot image, which has to fit in there. Some 40,000 keys. */
#define STORE_COPY_MAX ((size_t)32 * 1024 * 1024)
