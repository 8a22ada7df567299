/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Keys of one envelope. A machine with more gets several. */
#define ENVELOPE_ENTRIES_MAX 64
/* The content, which is one secret in locked memory, and the CMS message around it in DER. */
#define ENVELOPE_CONTENT_MAX ((size_t)64 * 1024)
#define ENVELOPE_SIZE_MAX ((size_t)96 * 1024)
/* Machines that one envelope is for: each costs an agreement of keys when it is made. */
#define ENVELOPE_RECIPIENTS_MAX 64
/* A certificate in PEM. */
#define MACHINE_PEM_MAX ((size_t)64 * 1024)
