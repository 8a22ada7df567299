/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/aead.h"

/* The text of a sealed box: {"nonce":"..","ciphertext":"..","tag":".."}, Base64, in exactly this
 * order and without white space, so that no two texts mean the same box. */

/* Length of the text for a plaintext of size bytes, without a terminator. */
size_t box_length(size_t size);

/* Writes it without a newline; the caller frees it. Returns -ENOMEM. */
int box_format(const SealedBox *box, char **ret) _must_check_;

/* Finds the box that a text ends with, without decoding it. */
bool box_find(const char *text, size_t size, size_t *ret_size);

/* Returns -EBADMSG or -ENOMEM. An empty ciphertext is refused. */
int box_parse(const char *text, size_t size, SealedBox **ret) _must_check_;
