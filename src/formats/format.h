/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "formats/found.h"

typedef enum Format {
    FORMAT_KEYFILE,     /* of nvme-cli, or ours: psk/keyfile.h */
    FORMAT_PSK,         /* one PSK in the interchange format, as SPDK has it in a file */
    FORMAT_CONFIG_JSON, /* config.json of nvme-cli 2 */
    FORMAT_FABRICS,     /* nvme-fabrics.conf and nvme-stas.conf of version 3 */
} Format;

/* The format of a text, by its first character that is no blank and in no comment. */
Format format_detect(const char *text, size_t size);

/* Reads all PSKs of a file: each one, and each fault, is reported once by fn. Returns 0, what fn
 * returns, or -ENOMEM. */
int format_read(const char *text, size_t size, FoundFn fn, void *userdata);
