/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/found.h"

#define FOUND_SIZE 4096

typedef int (*FoundReader)(const char *text, size_t size, FoundFn fn, void *userdata);

/* Reads a text and writes a line for each call of the FoundFn: its kind, its lines, and the members
 * that are set. Returns what the reader returns. */
int found_collect(FoundReader read, const char *text, char ret[static FOUND_SIZE]);

/* A FoundFn that appends such a line to a text of FOUND_SIZE. */
int found_append(const Found *found, void *userdata);
