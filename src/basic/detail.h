/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* Sets *reterr_detail to one line for people about a failure and frees an older line. Leaves NULL
 * there without memory. Does nothing if reterr_detail is NULL. Returns error. */
int detail_set(char **reterr_detail, int error, const char *format, ...) _printf_(3, 4);

/* Appends a newline and another line. */
void detail_append(char **detail, const char *line);
