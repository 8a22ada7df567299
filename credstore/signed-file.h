/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "credstore/aead.h"

/*
 * A file of two lines: a body, which is one JSON object, and {"mac":".."} with the HMAC-SHA-256
 * over the bytes of the body without its newline. The key of the MAC comes from the store key and a
 * label, which tells the kinds of files apart.
 */

#define SIGNED_LABEL_HEADER "nvme-keyd header"
#define SIGNED_LABEL_SHARD "nvme-keyd shard"
#define SIGNED_LABEL_COMMIT "nvme-keyd commit"

/* Makes the text of such a file, to be freed. Returns -ENOMEM or -EIO. */
int signed_file_format(Sealer *s, const Secret *key, const char *label, const char *body,
                       char **ret, size_t *ret_size) _must_check_;

/* Finds the end of the body in the text of a file and decodes the MAC. Returns -EBADMSG for
 * anything but two complete lines. */
int signed_file_split(const char *text, size_t size, size_t *ret_body_size,
                      uint8_t ret_mac[static SEAL_MAC_SIZE]) _must_check_;

/* Returns -EBADMSG when mac is not the one of body. */
int signed_file_verify(Sealer *s, const Secret *key, const char *label, const char *body,
                       size_t body_size, const uint8_t mac[static SEAL_MAC_SIZE]) _must_check_;

/* Reads a file of at most max bytes and verifies it; the body is NUL-terminated and to be freed.
 * Returns -EBADMSG for what is not authentic, or an error of io_read_file_at(). */
int signed_file_read(Sealer *s, const Secret *key, const char *label, int dirfd, const char *name,
                     size_t max, char **ret_body, size_t *ret_body_size) _must_check_;
