/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/found.h"

/* A line of an ini file as nvme-cli 3 reads it: `[Section]`, `key = value`, `# comment`. */
typedef enum IniKind {
    INI_NOTHING,
    INI_SECTION, /* name */
    INI_OPTION,  /* name and value */
    INI_FAULT,   /* anything else */
} IniKind;

typedef struct IniLine {
    IniKind kind;
    Part name, value; /* without blanks around them; a value may be empty */
} IniLine;

/* Parses a line without its newline. A ';' begins a comment as well, and a '#' after a blank in a
 * value, as examples of nvme-cli have it. */
void ini_parse_line(const char *text, size_t length, IniLine *ret);
