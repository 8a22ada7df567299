/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Some 200 PSKs. The locked memory has to hold the text and a read buffer of the same size. The
 * service manager gives a unit 1 MiB in all. */
#define HANDED_SIZE_MAX ((size_t)32000)
#define HANDED_FILES_MAX 1024
#define HANDED_KEYS_MAX 16384
/* Enough to recognise a wrong file. */
#define HANDED_PROBLEMS_MAX 64
