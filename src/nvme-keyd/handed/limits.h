/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* One credential with PSKs, of which a copy and a buffer have to fit into that at once: some 200
 * PSKs. The service manager gives a unit 1 MiB in all. */
#define CREDENTIAL_SIZE_MAX ((size_t)32000)
#define CREDENTIALS_MAX 1024
#define CREDENTIAL_KEYS_MAX 16384
/* Who gives the wrong file need not see all of it. */
#define CREDENTIAL_PROBLEMS_MAX 64
