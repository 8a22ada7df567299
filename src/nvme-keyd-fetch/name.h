/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* True for the name of an envelope, which is the name of its file as well: letters, digits, '.',
 * '_', '-'; up to FETCH_NAME_MAX of them, no '.' at the begin; no ending that the inbox gives to
 * files of its own (".tmp", ".reason"). */
bool fetch_name_is_valid(const char *name);
