/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* As much as one import takes, twice: a file has comments, too. */
#define FORMAT_SIZE_MAX ((size_t)32 * 1024 * 1024)
/* The longest line of a key file has some 620 characters; comments may be longer. */
#define FORMAT_LINE_MAX ((size_t)16 * 1024)
/* The name of a file is as long at most. */
#define FORMAT_CREDENTIAL_MAX 255
