/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text of other programs and of the kernel. Unless a size is given, it ends with a NUL. */

/* Versions compare as numbers; 0 is unknown. */
#define VERSION(major, minor, patch)                                                               \
    ((unsigned)(major) << 20 | (unsigned)(minor) << 10 | (unsigned)(patch))
#define VERSION_TEXT_SIZE 24

/* "6.12.107-amd64" and the like; further parts are left out. Returns 0 for another text. */
unsigned version_parse(const char *text);
/* "6.12", or with its third number if that is not 0. */
const char *version_format(unsigned version, char ret[static VERSION_TEXT_SIZE]);
/* The version after the first prefix in size bytes of a program that is followed by a digit. */
unsigned version_find(const char *data, size_t size, const char *prefix);

/* The next line, which is not terminated. Moves *p; returns false at the end. */
bool line_next(const char **p, const char **ret, size_t *ret_length);
/* The next word of a line, up to a blank or a tab. */
bool word_next(const char **p, const char *end, const char **ret, size_t *ret_length);
bool word_is(const char *word, size_t length, const char *text);

/* A line of an INI file. What is too long is cut. */
typedef struct ConfLine {
    char section[64];
    unsigned n_section; /* sections so far */
    char key[64];
    char value[512];
} ConfLine;

/* Moves *p to the next assignment, and fills *line, which starts as zeroes. Returns false at the
 * end. Lines that ini_parse_line() refuses are skipped. */
bool conf_next(const char **p, ConfLine *line);

/* 'y', 'm', or 'n' for an option (without CONFIG_) of a kernel's configuration. */
char kconfig_get(const char *text, const char *option);

/* True if a list of files (modules.dep, modules.builtin) has the module, whose name has "_". */
bool module_is_listed(const char *text, const char *name);

/* True if /proc/keys has the keyring. */
bool keys_have_ring(const char *text, const char *name);

/* The line of uid 0 in /proc/key-users: keys and bytes in use, and their maxima. */
typedef struct KeyQuota {
    uint64_t keys, keys_max, bytes, bytes_max;
} KeyQuota;
bool key_quota_parse(const char *text, KeyQuota *ret);

/* A counter of /proc/net/netstat, such as "TcpExt:" and "ListenOverflows". */
bool netstat_get(const char *text, const char *group, const char *name, uint64_t *ret);
