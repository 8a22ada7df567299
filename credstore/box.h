/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "credstore/aead.h"

/* The text of a sealed box: {"nonce":"..","ciphertext":"..","tag":".."}, in Base64, in exactly this
 * order and without white space, so that a box has exactly one text. */

/* The length of the text for a plaintext of size bytes, without a terminator. */
size_t box_length(size_t size);

/* Writes box_length(box->size) characters, without a terminator, and returns their end. */
char *box_write(char *p, const SealedBox *box);

/* Finds the box at the end of a text without decoding it. */
bool box_find(const char *text, size_t size, size_t *ret_size);

/* Parses a box. Returns -EBADMSG, also for an empty ciphertext, or -ENOMEM. */
int box_parse(const char *text, size_t size, SealedBox **ret) _must_check_;
