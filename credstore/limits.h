/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "credstore/seal/limits.h"

/* One record: metadata with two NQNs and a comment, and a sealed PSK with its derived keys. */
#define STORE_RECORD_MAX ((size_t)16 * 1024)
/* Some 300,000 keys. The whole file is kept in memory. */
#define STORE_FILE_MAX ((size_t)256 * 1024 * 1024)
/* A slot may hold a systemd credential of a few kilobytes with TPM data. */
#define STORE_HEADER_MAX ((size_t)256 * 1024)
/* Some 40,000 keys. An export has to fit into a boot image. */
#define STORE_EXPORT_MAX ((size_t)32 * 1024 * 1024)
/* Counters that wait to be removed from a TPM, which has little room for counters. */
#define STORE_ORPHANS_MAX 16
