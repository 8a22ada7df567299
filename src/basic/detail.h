/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "basic/macro.h"

/* Sets *reterr_detail, unless reterr_detail is NULL, to one line for people about a failure; an
 * older line is freed. Out of memory leaves NULL there. Returns error. */
int detail_set(char **reterr_detail, int error, const char *format, ...) _printf_(3, 4);

/* Appends another line to it, behind a newline. */
void detail_append(char **detail, const char *line);
