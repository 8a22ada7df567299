/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Some 200 PSKs. The locked memory has to hold the text and a read buffer of the same size. The
 * service manager gives a unit 1 MiB in all. */
#define CREDENTIAL_SIZE_MAX ((size_t)32000)
#define CREDENTIALS_MAX 1024
#define CREDENTIAL_KEYS_MAX 16384
/* Enough to recognise a wrong file. */
#define CREDENTIAL_PROBLEMS_MAX 64
